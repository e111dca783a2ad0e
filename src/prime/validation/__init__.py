"""External validation and recalibration of a fitted model on a labelled cohort."""
