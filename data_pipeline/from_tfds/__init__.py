"""Datasets that TFDS knows: downloaded, prepared, checked and read."""
