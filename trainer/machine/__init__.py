"""What this machine's hardware can do, what a run takes of it, and where and with what a result was made."""
