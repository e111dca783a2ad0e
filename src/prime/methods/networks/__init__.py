"""The networks of the comparison, one a file."""
