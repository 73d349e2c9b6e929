"""The VM that a restore leads to: its manifest and what it needs, and stopping and running it."""
