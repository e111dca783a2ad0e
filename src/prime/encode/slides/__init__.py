"""Whole-slide images to feature files: tiles of tissue, their features, 128 centroids a patient or slide."""
