"""Restore points: their manifests, and where they are found."""
