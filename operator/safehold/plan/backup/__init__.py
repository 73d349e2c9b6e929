"""One VMBackup, from capture to clean-up; `reconcile` is the entry."""
