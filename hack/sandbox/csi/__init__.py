"""Storage: the PV controller, the snapshot controller, and a CSI driver with its sidecars.

Behaviour follows recordings of the real controllers (Kubernetes 1.36, external-snapshotter 8.6, external-provisioner
6.2, the hostpath driver). The volume with handle H is <state>/volumes/H: a raw file (Block) or a folder (Filesystem).
"""
