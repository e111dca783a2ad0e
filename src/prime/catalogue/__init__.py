"""What an experiment can name (methods, losses), with facts and the place of the code; quick to import."""
