"""Who makes a request (authentication, impersonation) and whether they may (RBAC), as kube-apiserver decides it."""
