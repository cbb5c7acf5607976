"""What the training and evaluation steps are built from."""
