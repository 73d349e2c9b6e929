"""Nobody gives away more rights than they have."""

from typing import Any

import pytest

from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.escalation import EscalationGuard
from sandbox.apiserver.auth.users import UserInfo, with_authenticated
from sandbox.apiserver.statuses import ApiError

ANN = with_authenticated(UserInfo("ann"))
SUBJECT = {"kind": "User", "name": "ann"}
RBAC = "rbac.authorization.k8s.io"
READ_PODS = {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}
READ_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}


@pytest.fixture
def guard(cluster: Any, authorizer: Authorizer) -> EscalationGuard:
    """The guard; ann may read pods in namespace a."""
    cluster.role("pod-reader", READ_PODS)
    cluster.bind("pod-reader", SUBJECT, namespace="a")
    return EscalationGuard(cluster, authorizer)


def role(*rules: dict[str, Any], namespace: str = "a", **more: Any) -> dict[str, Any]:
    """A role to be written."""
    return {"metadata": {"name": "new", "namespace": namespace}, "rules": list(rules), **more}


def binding(name: str, kind: str = "ClusterRole", namespace: str = "a") -> dict[str, Any]:
    """A binding to be written."""
    return {
        "metadata": {"name": "new", "namespace": namespace},
        "roleRef": {"kind": kind, "name": name},
        "subjects": [SUBJECT],
    }


def test_own_rights_may_be_given(guard: EscalationGuard) -> None:
    """A role with rights that the writer holds there, or fewer, and a binding to such a role, pass."""
    guard.check(ANN, "roles", role(READ_PODS))
    guard.check(ANN, "roles", role({**READ_PODS, "verbs": ["get"], "resourceNames": ["p"]}))
    guard.check(ANN, "rolebindings", binding("pod-reader"))


def test_other_rights_may_not_be_given(guard: EscalationGuard) -> None:
    """A role with more is refused with the rights that are missing."""
    with pytest.raises(ApiError) as refused:
        guard.check(ANN, "roles", role(READ_PODS, READ_SECRETS))
    assert refused.value.code == 403
    assert refused.value.message == (
        f'roles.{RBAC} "new" is forbidden: user "ann" (groups=["system:authenticated"]) is attempting to grant RBAC '
        'permissions not currently held:\n{APIGroups:[""], Resources:["secrets"], Verbs:["get", "list"]}'
    )


@pytest.mark.parametrize(
    ("plural", "obj"),
    [
        ("roles", role(READ_PODS, namespace="b")),
        ("clusterroles", {"metadata": {"name": "new"}, "rules": [READ_PODS]}),
        ("clusterroles", {"metadata": {"name": "new"}, "rules": [{"nonResourceURLs": ["/x"], "verbs": ["get"]}]}),
        ("clusterroles", {"metadata": {"name": "new"}, "aggregationRule": {"clusterRoleSelectors": []}}),
        ("rolebindings", binding("cluster-admin")),
        ("rolebindings", binding("pod-reader", namespace="b")),
        (
            "clusterrolebindings",
            {"metadata": {"name": "new"}, "roleRef": {"kind": "ClusterRole", "name": "pod-reader"}},
        ),
    ],
)
def test_ways_to_escalate(plural: str, obj: dict[str, Any], guard: EscalationGuard) -> None:
    """Rights in a namespace do not reach other namespaces, the cluster, or paths."""
    with pytest.raises(ApiError) as refused:
        guard.check(ANN, plural, obj)
    assert refused.value.code == 403


def test_updates(guard: EscalationGuard) -> None:
    """An update is judged when it changes rights, and not when it only changes labels."""
    old = role(READ_SECRETS)
    guard.check(ANN, "roles", {**old, "metadata": {**old["metadata"], "labels": {"a": "b"}}}, old)
    with pytest.raises(ApiError):
        guard.check(ANN, "roles", role(READ_SECRETS, READ_PODS), old)


def test_the_verbs_escalate_and_bind(cluster: Any, guard: EscalationGuard) -> None:
    """Whoever may escalate or bind is not held to their own rights."""
    lifted = {"apiGroups": [RBAC], "resources": ["roles", "clusterroles"], "verbs": ["escalate", "bind"]}
    cluster.role("lifter", lifted)
    cluster.bind("lifter", SUBJECT)
    guard.check(ANN, "roles", role(READ_SECRETS))
    guard.check(ANN, "rolebindings", binding("cluster-admin"))


def test_a_binding_to_nothing(guard: EscalationGuard) -> None:
    """Without the verb bind, a role that does not exist cannot be bound: its rules could be anything later."""
    with pytest.raises(ApiError) as refused:
        guard.check(ANN, "rolebindings", binding("ghost"))
    assert refused.value.code == 404


def test_other_resources_pass(guard: EscalationGuard) -> None:
    """Only roles and bindings are judged."""
    guard.check(ANN, "pods", {"metadata": {"name": "p"}})
