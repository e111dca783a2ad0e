"""What an experiment can name: each thing's facts, and where its code is. Nothing here is slow to import."""
