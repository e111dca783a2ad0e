"""The commands that are not an encoder's: each imports what it needs only when it runs."""
