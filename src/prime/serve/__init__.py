"""A fitted model over HTTP: predictions as JSON, with limits, metrics and no trace of patients in the log."""
