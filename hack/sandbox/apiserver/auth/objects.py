"""What authentication and authorization need to read; the store is behind it."""

from collections.abc import Iterable
from typing import Protocol

from sandbox.apiserver.objects import JsonObject

RBAC_GROUP = "rbac.authorization.k8s.io"


class Objects(Protocol):
    """Read access to stored objects. What is returned must not be changed by the reader."""

    def list(self, group: str, plural: str, namespace: str | None = None) -> Iterable[JsonObject]:
        """All objects of a resource, of one namespace or of all."""

    def get(self, group: str, plural: str, namespace: str | None, name: str) -> JsonObject | None:
        """One object; namespace is None for cluster-scoped resources."""
