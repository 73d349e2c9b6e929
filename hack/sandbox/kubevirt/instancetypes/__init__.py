"""Instance types and preferences: what VMs take their size and defaults from, kept as ControllerRevisions."""
