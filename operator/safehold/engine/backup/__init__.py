"""A backup run: what it builds on, how it finds what changed, and how it commits a restore point."""
