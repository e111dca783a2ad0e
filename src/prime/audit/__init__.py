"""What could be wrong with results: checks of anybody's held-out predictions."""
