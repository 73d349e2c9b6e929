"""`safehold restore`: look at VMRestores in a cluster, while they run and before."""
