"""Looking at a folder of unknown files, and writing what was recognised as a cohort file."""
