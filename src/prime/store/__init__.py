"""A cohort packed into arrays, and the batches that are read from it."""
