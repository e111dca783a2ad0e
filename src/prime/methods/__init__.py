"""The methods that PRIME is compared with."""
