"""Tables: what `kubectl get` prints."""

from sandbox.apiserver.tables.rendering import table_of

__all__ = ["table_of"]
