"""The statistical models of the comparison, one a file."""
