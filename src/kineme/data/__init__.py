"""Sets of clips on disk: prepare, store, split; and synthetic ones. NumPy and Arrow only, never torch."""
