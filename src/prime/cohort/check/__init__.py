"""Checking a cohort before anything is trained."""
