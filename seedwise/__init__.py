"""What the packages share, and what a Python user imports."""
