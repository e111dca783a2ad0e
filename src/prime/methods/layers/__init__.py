"""Parts that several networks of the comparison share."""
