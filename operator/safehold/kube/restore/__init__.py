"""VMRestores in the cluster: `observer` reads what a decision depends on, `hands` carries it out."""
