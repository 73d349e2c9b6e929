"""What KubeVirt installs in the cluster: kinds, webhooks, the aggregated API, its node, and its ClusterRoles."""

from __future__ import annotations

from contextlib import suppress

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.kinds import API_SERVICE, CLUSTER_ROLE, CRD, NODE, Kind
from sandbox.cluster.waiting import wait_until
from sandbox.kubevirt.api.definitions import DEFINITIONS
from sandbox.kubevirt.api.subresources import GROUP, VERSION
from sandbox.kubevirt.names import NODE as NODE_NAME

_WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
_URL = "sandbox.safehold.dev/url"
"""The embedded API server forwards the group of an APIService with this annotation to that URL."""
_VALIDATED = (
    ("virtualmachine-validator.kubevirt.io", "kubevirt.io", "virtualmachines"),
    ("virtualmachinesnapshot-validator.snapshot.kubevirt.io", "snapshot.kubevirt.io", "virtualmachinesnapshots"),
    ("virtualmachinerestore-validator.snapshot.kubevirt.io", "snapshot.kubevirt.io", "virtualmachinerestores"),
)
_READ = ["get", "list", "watch"]
_EDIT = ["get", "delete", "create", "update", "patch", "list", "watch"]


async def install_kinds(cluster: Cluster) -> None:
    """Creates or updates the CRDs and waits until they are served."""
    for definition in DEFINITIONS:
        await _apply(cluster, CRD, definition)
    for definition in DEFINITIONS:
        await wait_until(cluster, CRD, definition["metadata"]["name"], reached=_established)


async def install_endpoints(cluster: Cluster, url: str) -> None:
    """Points webhooks and the aggregated API to this process, and creates the node and the roles."""
    await _apply(cluster, _WEBHOOKS, _webhook_configuration(url))
    await _apply(cluster, API_SERVICE, _api_service(url))
    for role in _roles():
        await _apply(cluster, CLUSTER_ROLE, role)
    with suppress(AlreadyExistsError):
        await cluster.create(NODE, _node())
    ready = {"type": "Ready", "status": "True", "reason": "GuestsRun", "message": "this node runs the sandbox's guests"}
    await cluster.patch(NODE, NODE_NAME, {"status": {"conditions": [ready]}}, subresource="status")


async def _apply(cluster: Cluster, kind: Kind, manifest: Object) -> None:
    body = {"apiVersion": kind.api_version, "kind": kind.kind, **manifest}
    await cluster.patch(kind, manifest["metadata"]["name"], body, patch_type="apply")


def _webhook_configuration(url: str) -> Object:
    return {
        "metadata": {"name": "virt-api-validator"},
        "webhooks": [
            {
                "name": name,
                "clientConfig": {"url": f"{url}/validate"},
                "rules": [
                    {
                        "apiGroups": [group],
                        "apiVersions": ["*"],
                        "resources": [resource],
                        "operations": ["CREATE", "UPDATE"],
                    }
                ],
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "failurePolicy": "Fail",
            }
            for name, group, resource in _VALIDATED
        ],
    }


def _api_service(url: str) -> Object:
    return {
        "metadata": {"name": f"{VERSION}.{GROUP}", "annotations": {_URL: url}},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "insecureSkipTLSVerify": True,
            "service": {"name": "virt-api", "namespace": "kubevirt"},
        },
    }


def _roles() -> list[Object]:
    """kubevirt.io:admin, :edit and :view, which aggregate into the roles that namespaces are given."""
    return [_role("admin", [*_EDIT, "deletecollection"]), _role("edit", _EDIT), _role("view", _READ)]


def _role(level: str, verbs: list[str]) -> Object:
    machines = ["virtualmachines", "virtualmachineinstances"]
    snapshots = ["virtualmachinesnapshots", "virtualmachinesnapshotcontents", "virtualmachinerestores"]
    reading = ["virtualmachines/expand-spec", "virtualmachineinstances/guestosinfo"]
    rules = [
        {"apiGroups": ["kubevirt.io"], "resources": machines, "verbs": verbs},
        {"apiGroups": ["snapshot.kubevirt.io"], "resources": snapshots, "verbs": verbs},
        {
            "apiGroups": [GROUP],
            "resources": [*reading, "virtualmachineinstances/filesystemlist"],
            "verbs": ["get"],
        },
    ]
    if level != "view":
        acting = [f"virtualmachines/{verb}" for verb in ("start", "stop", "restart")]
        acting += [f"virtualmachineinstances/{verb}" for verb in ("pause", "unpause", "freeze", "unfreeze")]
        rules.append({"apiGroups": [GROUP], "resources": acting, "verbs": ["update"]})
    labels = {f"rbac.authorization.k8s.io/aggregate-to-{level}": "true"}
    return {"metadata": {"name": f"kubevirt.io:{level}", "labels": labels}, "rules": rules}


def _node() -> Object:
    labels = {"kubernetes.io/hostname": NODE_NAME, "kubevirt.io/schedulable": "true"}
    # No kubelet reports for it: ordinary pods stay away.
    taint = {"key": "sandbox.safehold.dev/guests-only", "effect": "NoSchedule"}
    return {"metadata": {"name": NODE_NAME, "labels": labels}, "spec": {"taints": [taint]}}


def _established(crd: Object | None) -> bool:
    conditions = ((crd or {}).get("status") or {}).get("conditions") or []
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)
