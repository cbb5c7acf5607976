"""From numbers to conclusions. Imports nothing of ours but `seedwise.errors`."""
