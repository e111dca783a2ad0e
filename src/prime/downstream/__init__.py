"""From embeddings or networks to survival heads, predictions and scores."""
