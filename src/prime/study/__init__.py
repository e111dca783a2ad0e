"""The tables, figures and statistics of the paper: one a file."""
