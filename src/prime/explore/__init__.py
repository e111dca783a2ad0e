"""A cohort and its patients in a browser, on this machine alone."""
