"""What this machine's hardware can do, and what a run takes of it."""
