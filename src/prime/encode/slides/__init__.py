"""From whole-slide images to feature files: tiles of tissue, their features, and their centroids."""
