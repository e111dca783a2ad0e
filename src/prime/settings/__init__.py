"""The settings of an experiment, and how its file is read."""
