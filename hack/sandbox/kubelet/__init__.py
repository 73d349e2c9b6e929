"""One node: scheduler, kubelet, and the Job, ReplicaSet and Deployment controllers. A container is a local process.

A container's process has its own mount and PID namespaces and its own root: the host's /usr and /etc read-only, the
paths its image exposes, its pod's volumes, a small /dev. The network is the host's. Images are not pulled: a reference
is mapped to a command of this machine. Not played: exec probes and lifecycle hooks, sidecars, seccomp, affinity.
"""
