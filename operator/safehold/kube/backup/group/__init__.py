"""VolumeGroupSnapshots in the cluster: whether they are served, our own one of a run, and what holds it."""
