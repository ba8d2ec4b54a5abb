"""A run in use."""
