"""Is this config one that can be run? Checked before TensorFlow is imported, and brought into its one form."""
