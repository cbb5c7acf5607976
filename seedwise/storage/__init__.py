"""What is on a disk: paths that users name, files that are written whole, and locks."""
