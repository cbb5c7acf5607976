"""What to train: plain Python, ml_collections."""
