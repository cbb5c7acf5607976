"""Results from anywhere, read into one frame that the analysis judges. Needs no TensorFlow."""
