"""`safehold doctor` in a cluster: what is there, what is missing, what was left behind."""
