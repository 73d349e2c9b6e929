"""Events: told once, and never a reason to fail."""

from datetime import UTC, datetime

from safehold.api.base import ObjectMeta, Resource
from safehold.kube.client import Cluster
from safehold.kube.events import emit
from safehold.kube.kinds import EVENT, NAMESPACE, SERVICE_ACCOUNT, Kind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROLE = Kind("rbac.authorization.k8s.io", "v1", "roles", "Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")


def backup(namespace: str) -> Resource:
    """Something to tell about."""
    return Resource(kind="VMBackup", metadata=ObjectMeta(name="nightly", namespace=namespace, uid="u1"))


async def tell(cluster: Cluster, namespace: str, message: str = "it is done") -> None:
    """One transition at one moment."""
    await emit(cluster, backup(namespace), reason="Completed", message=message, warning=False, now=NOW)


async def test_a_transition_that_is_met_twice_is_told_once(cluster: Cluster, namespace: str) -> None:
    """Creating is the only right that it takes: the second time the name is taken, and nothing is read back."""
    await cluster.create(SERVICE_ACCOUNT, {"metadata": {"name": "teller", "namespace": namespace}})
    rules = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
    await cluster.create(ROLE, {"metadata": {"name": "r", "namespace": namespace}, "rules": rules})
    await cluster.create(
        ROLE_BINDING,
        {
            "metadata": {"name": "r", "namespace": namespace},
            "roleRef": {"apiGroup": ROLE.group, "kind": "Role", "name": "r"},
            "subjects": [{"kind": "ServiceAccount", "name": "teller", "namespace": namespace}],
        },
    )
    teller = cluster.as_service_account(namespace, "teller")
    await tell(teller, namespace)
    await tell(teller, namespace, message="it is done again")
    told = await cluster.list(EVENT, namespace, fields="involvedObject.uid=u1")
    assert [(event["reason"], event["message"], event["count"]) for event in told] == [("Completed", "it is done", 1)]


async def test_a_namespace_that_ends_hears_nothing(cluster: Cluster, namespace: str) -> None:
    """Nothing can be created there any more, which is no failure of the run that wanted to tell."""
    held = {"metadata": {"name": "held", "namespace": namespace, "finalizers": ["a.b/c"]}}
    await cluster.create(SERVICE_ACCOUNT, held)
    await cluster.delete(NAMESPACE, namespace)
    await tell(cluster, namespace)
    await cluster.merge_patch(SERVICE_ACCOUNT, "held", namespace, {"metadata": {"finalizers": None}})
