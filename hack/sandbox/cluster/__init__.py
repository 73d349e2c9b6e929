"""The sandbox's own Kubernetes client: kinds, typed errors, list and watch, and controllers with a work queue."""
