"""`safehold hold` and `safehold release`."""
