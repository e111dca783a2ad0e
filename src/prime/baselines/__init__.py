"""The methods that PRIME is compared with, on the same inputs, folds, heads and budget."""
