"""Controllers that an API is not complete without: garbage collection, namespaces and definitions that end, quotas."""
