"""`safehold repo`: a repository by itself, with nothing but its bucket and its key."""
