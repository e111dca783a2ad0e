"""Tables and figures, whatever study they come from."""
