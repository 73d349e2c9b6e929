"""Targets in the cluster: what a run gets of them, and their checks."""
