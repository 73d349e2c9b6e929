"""A cluster's objects in memory, with the default roles, for the tests of authentication and authorization."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import pytest

from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.defaults import default_objects
from sandbox.apiserver.auth.objects import RBAC_GROUP
from sandbox.apiserver.auth.tokens import TokenIssuer


class Cluster:
    """Stored objects, and short ways to store those that tests need."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str, str | None, str], dict[str, Any]] = {}
        for obj in default_objects():
            self.add(RBAC_GROUP, f"{obj['kind'].lower()}s", obj)

    def list(self, group: str, plural: str, namespace: str | None = None) -> Iterable[dict[str, Any]]:
        """All objects of a resource."""
        return [
            obj
            for (found_group, found_plural, found_namespace, _), obj in self._objects.items()
            if (found_group, found_plural) == (group, plural) and namespace in (None, found_namespace)
        ]

    def get(self, group: str, plural: str, namespace: str | None, name: str) -> dict[str, Any] | None:
        """One object."""
        return self._objects.get((group, plural, namespace, name))

    def add(self, group: str, plural: str, obj: dict[str, Any]) -> None:
        """Store an object."""
        metadata = obj["metadata"]
        self._objects[group, plural, metadata.get("namespace"), metadata["name"]] = obj

    def remove(self, group: str, plural: str, namespace: str | None, name: str) -> None:
        """Forget an object."""
        del self._objects[group, plural, namespace, name]

    def role(self, name: str, *rules: dict[str, Any], namespace: str | None = None) -> None:
        """Store a ClusterRole, or a Role."""
        metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
        plural = "roles" if namespace else "clusterroles"
        self.add(RBAC_GROUP, plural, {"metadata": metadata, "rules": list(rules)})

    def bind(
        self, role: str, subject: dict[str, str], *, kind: str = "ClusterRole", namespace: str | None = None
    ) -> None:
        """Bind a role to a subject, cluster-wide or in a namespace."""
        metadata = {"name": f"{role}-{subject['name']}", **({"namespace": namespace} if namespace else {})}
        binding = {"metadata": metadata, "roleRef": {"kind": kind, "name": role}, "subjects": [subject]}
        self.add(RBAC_GROUP, "rolebindings" if namespace else "clusterrolebindings", binding)


@pytest.fixture
def cluster() -> Cluster:
    """A cluster with the default roles, a service account and a pod that runs as it."""
    cluster = Cluster()
    cluster.add("", "serviceaccounts", {"metadata": {"name": "robot", "namespace": "a", "uid": "robot-1"}})
    pod = {
        "metadata": {"name": "p", "namespace": "a", "uid": "pod-1"},
        "spec": {"serviceAccountName": "robot", "nodeName": "n1"},
    }
    cluster.add("", "pods", pod)
    cluster.add("", "secrets", {"metadata": {"name": "s", "namespace": "a", "uid": "secret-1"}})
    return cluster


@pytest.fixture
def authorizer(cluster: Cluster) -> Authorizer:
    """RBAC on that cluster."""
    return Authorizer(cluster)


@pytest.fixture
def issuer(cluster: Cluster) -> TokenIssuer:
    """The issuer of that cluster's tokens."""
    return TokenIssuer("https://cluster.test", cluster)


@pytest.fixture
def now() -> datetime:
    """The time at which the tests take place."""
    return datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
