"""One movement in memory, and its geometry."""
