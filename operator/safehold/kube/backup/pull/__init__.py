"""KubeVirt's own backups in the cluster: what is read of them, and what is made and taken away."""
