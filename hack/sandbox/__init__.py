"""A Kubernetes cluster with KubeVirt, CSI and S3 on a laptop, without containers: for demo, tests and trying things."""
