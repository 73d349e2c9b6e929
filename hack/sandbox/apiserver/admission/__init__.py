"""What stands between a valid request and the store: namespaces, quotas, defaults that need other objects, webhooks."""
