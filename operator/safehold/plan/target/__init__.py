"""Backup targets: their check, and what a run may use of them."""
