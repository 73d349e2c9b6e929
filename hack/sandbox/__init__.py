"""A Kubernetes cluster with KubeVirt, CSI and S3 on a laptop, without containers: for the demo, the tests, for trying."""
