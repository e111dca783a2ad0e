"""Who can serve a task, and who trains, validates and tests."""
