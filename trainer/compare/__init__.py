"""Many runs, one verdict: `python -m trainer.compare --study=...`."""
