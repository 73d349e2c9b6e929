"""What KubeVirt installs in the cluster beside its kinds: webhooks, the aggregated API, node and ClusterRoles."""

from __future__ import annotations

import base64
from contextlib import suppress

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.kinds import API_SERVICE, CLUSTER_ROLE, KUBEVIRT, NAMESPACE, NODE, SERVICE, Kind
from sandbox.kubevirt.api.server import NAMESPACE as OWN_NAMESPACE
from sandbox.kubevirt.api.server import SERVICE as SERVICE_NAME
from sandbox.kubevirt.api.server import VALIDATION_PATH, Endpoint
from sandbox.kubevirt.api.subresources import GROUP, VERSION
from sandbox.kubevirt.configuration import INSTALLED
from sandbox.kubevirt.names import NODE as NODE_NAME
from sandbox.kubevirt.names import OTHER_NODE

_WEBHOOKS = Kind(
    "admissionregistration.k8s.io",
    "v1",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
)
_VALIDATED = (
    ("virtualmachine-validator.kubevirt.io", "kubevirt.io", "virtualmachines"),
    ("virtualmachinesnapshot-validator.snapshot.kubevirt.io", "snapshot.kubevirt.io", "virtualmachinesnapshots"),
    ("virtualmachinerestore-validator.snapshot.kubevirt.io", "snapshot.kubevirt.io", "virtualmachinerestores"),
    ("virtualmachineexport-validator.export.kubevirt.io", "export.kubevirt.io", "virtualmachineexports"),
    ("virtualmachinebackup-validator.backup.kubevirt.io", "backup.kubevirt.io", "virtualmachinebackups"),
    ("virtualmachinebackuptracker-validator.backup.kubevirt.io", "backup.kubevirt.io", "virtualmachinebackuptrackers"),
)
_READ = ["get", "list", "watch"]
_EDIT = ["get", "delete", "create", "update", "patch", "list", "watch"]


async def install_endpoints(cluster: Cluster, endpoint: Endpoint) -> None:
    """Points webhooks and the aggregated API to this process, and creates the node and the roles."""
    await cluster.apply(NAMESPACE, {"metadata": {"name": OWN_NAMESPACE}})
    await cluster.apply(SERVICE, _service())
    await cluster.apply(_WEBHOOKS, _webhook_configuration(endpoint))
    await cluster.apply(API_SERVICE, _api_service(endpoint))
    for role in _roles():
        await cluster.apply(CLUSTER_ROLE, role)
    for node in (NODE_NAME, OTHER_NODE):
        await _install_node(cluster, node)
    with suppress(AlreadyExistsError):
        # Whoever changes it keeps the change: it is not applied again.
        await cluster.create(
            KUBEVIRT, {"metadata": {"name": "kubevirt", "namespace": OWN_NAMESPACE}, "spec": INSTALLED}
        )


def _service() -> Object:
    """The way out of the cluster, to a process beside it: API servers follow external names without a network."""
    metadata = {"name": SERVICE_NAME, "namespace": OWN_NAMESPACE}
    return {"metadata": metadata, "spec": {"type": "ExternalName", "externalName": "localhost"}}


def _reference(endpoint: Endpoint) -> Object:
    return {"name": SERVICE_NAME, "namespace": OWN_NAMESPACE, "port": endpoint.port}


def _bundle(endpoint: Endpoint) -> str:
    return base64.b64encode(endpoint.authority.encode()).decode()


def _webhook_configuration(endpoint: Endpoint) -> Object:
    service = {**_reference(endpoint), "path": VALIDATION_PATH}
    return {
        "metadata": {"name": "virt-api-validator"},
        "webhooks": [
            {
                "name": name,
                "clientConfig": {"service": service, "caBundle": _bundle(endpoint)},
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


def _api_service(endpoint: Endpoint) -> Object:
    return {
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 1000,
            "versionPriority": 15,
            "caBundle": _bundle(endpoint),
            "service": _reference(endpoint),
        },
    }


def _roles() -> list[Object]:
    """kubevirt.io:admin, :edit and :view, which aggregate into the roles that namespaces are given."""
    return [_role("admin", [*_EDIT, "deletecollection"]), _role("edit", _EDIT), _role("view", _READ)]


def _role(level: str, verbs: list[str]) -> Object:
    machines = ["virtualmachines", "virtualmachineinstances"]
    snapshots = ["virtualmachinesnapshots", "virtualmachinesnapshotcontents", "virtualmachinerestores"]
    types = ["virtualmachineinstancetypes", "virtualmachinepreferences"]
    backups = ["virtualmachinebackups", "virtualmachinebackuptrackers"]
    reading = ["virtualmachines/expand-spec", "virtualmachineinstances/guestosinfo"]
    rules = [
        {"apiGroups": ["kubevirt.io"], "resources": [*machines, "virtualmachineinstancemigrations"], "verbs": verbs},
        {"apiGroups": ["snapshot.kubevirt.io"], "resources": snapshots, "verbs": verbs},
        {"apiGroups": ["instancetype.kubevirt.io"], "resources": types, "verbs": verbs},
        {"apiGroups": ["backup.kubevirt.io"], "resources": backups, "verbs": verbs},
        {"apiGroups": ["export.kubevirt.io"], "resources": ["virtualmachineexports"], "verbs": verbs},
        {
            "apiGroups": [GROUP],
            "resources": [*reading, "virtualmachineinstances/filesystemlist"],
            "verbs": ["get"],
        },
    ]
    if level != "view":
        plugging = ("addvolume", "removevolume")
        acting = [f"virtualmachines/{verb}" for verb in ("start", "stop", "restart", *plugging)]
        acting += [f"virtualmachineinstances/{verb}" for verb in ("pause", "unpause", "freeze", "unfreeze", *plugging)]
        rules.append({"apiGroups": [GROUP], "resources": acting, "verbs": ["update"]})
    labels = {f"rbac.authorization.k8s.io/aggregate-to-{level}": "true"}
    return {"metadata": {"name": f"kubevirt.io:{level}", "labels": labels}, "rules": rules}


async def _install_node(cluster: Cluster, name: str) -> None:
    labels = {"kubernetes.io/hostname": name, "kubevirt.io/schedulable": "true"}
    # No kubelet reports for it: ordinary pods stay away.
    taint = {"key": "sandbox.safehold.dev/guests-only", "effect": "NoSchedule"}
    with suppress(AlreadyExistsError):
        await cluster.create(NODE, {"metadata": {"name": name, "labels": labels}, "spec": {"taints": [taint]}})
    ready = {"type": "Ready", "status": "True", "reason": "GuestsRun", "message": "this node runs the sandbox's guests"}
    await cluster.patch(NODE, name, {"status": {"conditions": [ready]}}, subresource="status")
