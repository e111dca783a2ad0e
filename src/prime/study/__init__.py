"""The tables, figures and statistics of the paper: described once, drawn and written by this room."""
