"""Random access: a disk of a restore point is read anywhere, without being restored."""
