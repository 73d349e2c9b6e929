"""Everything that talks to the Kubernetes API; the only importer of `kubernetes`."""
