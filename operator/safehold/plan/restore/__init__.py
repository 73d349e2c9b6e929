"""One VMRestore, from admission to the running VM; `reconcile` is the entry."""
