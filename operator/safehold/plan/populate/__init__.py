"""One claim that fills itself from a restore point (`dataSourceRef`); `reconcile` is the entry."""
