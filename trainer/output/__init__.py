"""What a run shows: on the screen and in TensorBoard's event files."""
