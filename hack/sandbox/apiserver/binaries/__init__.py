"""The real etcd and kube-apiserver, from a folder such as setup-envtest fills (KUBEBUILDER_ASSETS).

They take the place of the embedded server under the same state directory, kubeconfig and CA. kube-controller-manager
joins them if it lies beside them, with those of its controllers that no part of the sandbox plays.
"""
