"""Tuning under equal budgets: spaces, samplers, searches with successive halving, and what they choose."""
