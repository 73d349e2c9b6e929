"""Who may use a target, restore a point, and what a restore may create."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.references import AllowedNamespaces
from safehold.plan.tenancy import NamespaceFacts, PointOwner, allowed, refuse_object, refuse_restore
from safehold.reasons import Reason

HERE, ELSEWHERE = "cluster-1", "cluster-2"


def namespace(name: str, uid: str = "", labels: dict[str, str] | None = None, **annotations: str) -> NamespaceFacts:
    """A Namespace; annotations are given without their prefix and with underscores."""
    spelled = {f"safehold.dev/{key.replace('_', '-')}": value for key, value in annotations.items()}
    return NamespaceFacts(name=name, uid=uid or f"uid-of-{name}", labels=labels or {}, annotations=spelled)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (None, False),
        ({}, False),
        ({"matchLabels": {}, "matchExpressions": [], "names": []}, False),
        ({"names": ["payments"]}, True),
        ({"names": ["play"]}, False),
        ({"matchLabels": {"backup": "yes"}}, True),
        ({"matchLabels": {"backup": "no"}}, False),
        ({"matchExpressions": [{"key": "backup", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "backup", "operator": "DoesNotExist"}]}, False),
        ({"names": ["payments"], "matchLabels": {"backup": "no"}}, True),
        ({"names": ["play"], "matchLabels": {"backup": "yes"}}, True),
        ({"names": ["play"], "matchLabels": {"backup": "no"}}, False),
    ],
)
def test_allowed_namespaces(rule: dict[str, Any] | None, expected: bool) -> None:
    """A target serves the namespaces that it names or whose labels match, and none if it says nothing."""
    served = namespace("payments", labels={"backup": "yes"})
    assert allowed(AllowedNamespaces.model_validate(rule) if rule is not None else None, served) is expected


PAYMENTS = namespace("payments")
OPEN_TO_LAB = namespace("payments", allow_restore_to="lab")
RECREATED = namespace("payments", uid="another-uid")


@pytest.mark.parametrize(
    ("owner_cluster", "source", "target", "remedy"),
    [
        (HERE, PAYMENTS, PAYMENTS, None),
        (HERE, PAYMENTS, namespace("lab"), "Namespace payments with safehold.dev/allow-restore-to=lab"),
        (HERE, OPEN_TO_LAB, namespace("lab"), None),
        (HERE, OPEN_TO_LAB, namespace("play"), "safehold.dev/allow-restore-to=play"),
        (HERE, namespace("payments", allow_restore_to="play, lab"), namespace("lab"), None),
        (HERE, namespace("payments", allow_restore_to="lab-2"), namespace("lab"), "allow-restore-to=lab"),
        (HERE, namespace("payments", allow_restore_to="*"), namespace("lab"), None),
        (HERE, namespace("payments", allow_restore_to=""), namespace("lab"), "allow-restore-to=lab"),
        # The living source decides: what the target says of itself counts for nothing then.
        (HERE, PAYMENTS, namespace("lab", restore_from="cluster-1/payments"), "allow-restore-to=lab"),
        # The source is gone.
        (HERE, None, namespace("lab"), "no longer exists"),
        (HERE, None, namespace("lab", restore_from="cluster-1/payments"), None),
        (HERE, None, namespace("lab", restore_from="cluster-1/other, cluster-1/payments"), None),
        (HERE, None, namespace("lab", restore_from="cluster-1/pay"), "safehold.dev/restore-from=cluster-1/payments"),
        # Created again under its old name it is another namespace: neither its own nor its annotation opens old points.
        (HERE, RECREATED, RECREATED, "restore-from=cluster-1/payments"),
        (HERE, namespace("payments", uid="x", allow_restore_to="*"), namespace("lab"), "no longer exists"),
        (HERE, RECREATED, namespace("payments", uid="another-uid", restore_from="cluster-1/payments"), None),
        # Another cluster's points; a uid or a name that is alike here means nothing.
        (ELSEWHERE, PAYMENTS, PAYMENTS, "belongs to another cluster"),
        (ELSEWHERE, OPEN_TO_LAB, namespace("lab"), "restore-from=cluster-2/payments"),
        (ELSEWHERE, None, namespace("lab", restore_from="cluster-1/payments"), "restore-from=cluster-2/payments"),
        (ELSEWHERE, None, namespace("lab", restore_from="cluster-2/payments"), None),
        (ELSEWHERE, None, namespace("lab", restore_from="*"), "restore-from=cluster-2/payments"),
    ],
)
def test_restores(
    owner_cluster: str, source: NamespaceFacts | None, target: NamespaceFacts, remedy: str | None
) -> None:
    """A namespace restores its own points; others' only as an administrator annotated it."""
    owner = PointOwner(cluster_id=owner_cluster, namespace="payments", namespace_uid="uid-of-payments")
    refusal = refuse_restore(owner, cluster_id=HERE, source=source, target=target)
    if remedy is None:
        assert refusal is None
    else:
        assert refusal is not None
        assert refusal.reason is Reason.RESTORE_NOT_ALLOWED
        assert remedy in refusal.message


UIDS, NAMES = st.sampled_from(["1", "2", "3"]), st.sampled_from(["payments", "lab"])
NAMESPACES = st.builds(namespace, NAMES, UIDS)


@given(
    owner=st.builds(PointOwner, cluster_id=st.sampled_from([HERE, ELSEWHERE]), namespace=NAMES, namespace_uid=UIDS),
    source=st.none() | NAMESPACES,
    target=NAMESPACES,
)
def test_nothing_without_annotations(owner: PointOwner, source: NamespaceFacts | None, target: NamespaceFacts) -> None:
    """Where nobody annotated anything, only the very namespace that was captured gets its points."""
    mine = owner.cluster_id == HERE and owner.namespace_uid == target.uid
    assert (refuse_restore(owner, cluster_id=HERE, source=source, target=target) is None) is mine


@pytest.mark.parametrize(
    ("manifest", "refused"),
    [
        ({"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine"}, None),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, None),
        ({"apiVersion": "v1", "kind": "Secret", "type": "Opaque"}, None),
        ({"apiVersion": "v1", "kind": "ServiceAccount"}, None),
        ({"apiVersion": "apps/v1", "kind": "ControllerRevision"}, None),
        ({"apiVersion": "k8s.cni.cncf.io/v1", "kind": "NetworkAttachmentDefinition"}, None),
        (
            {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token"},
            "access to the cluster",
        ),
        ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding"}, "ClusterRoleBinding"),
        ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding"}, "RoleBinding"),
        ({"apiVersion": "v1", "kind": "Pod"}, "Pod of v1"),
        ({"apiVersion": "evil.example/v1", "kind": "Secret"}, "Secret of evil.example/v1"),
        ({"apiVersion": "v1", "kind": "Namespace"}, "Namespace"),
        ({}, "without kind"),
    ],
)
def test_restorable_objects(manifest: dict[str, str], refused: str | None) -> None:
    """A recalled manifest creates objects of the allow-list only, and no Secret that is a token."""
    answer = refuse_object(manifest)
    assert answer is None if refused is None else answer is not None and refused in answer
