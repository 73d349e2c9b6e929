"""What KubeVirt adds to the Kubernetes API: its kinds, their admission, and the subresources."""
