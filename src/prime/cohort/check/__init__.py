"""Looking through a cohort before anything is trained."""
