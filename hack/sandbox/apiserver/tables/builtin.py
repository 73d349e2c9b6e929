"""Columns of built-in kinds, as the real server prints them."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from sandbox.apiserver.objects import JsonObject, is_deleting, parse_time
from sandbox.apiserver.rules.paths import value_at
from sandbox.apiserver.tables.columns import AGE, NAME, Cell, Column
from sandbox.apiserver.tables.durations import age, human_duration

_NONE = "<none>"
_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}

_SHOWN_ENDPOINTS = 3


def _at(path: str, empty: Any = "") -> Cell:
    def cell(item: JsonObject, _: datetime) -> Any:
        value = value_at(item, path)
        return empty if value is None else value

    return cell


def _text(path: str, empty: str = "") -> Cell:
    inner = _at(path, empty)
    return lambda item, now: str(inner(item, now))


def _count(path: str) -> Cell:
    return lambda item, _: len(value_at(item, path) or ())


def _modes(path: str) -> Cell:
    return lambda item, _: ",".join(_MODES.get(mode, mode) for mode in value_at(item, path) or ())


def _wide(name: str, cell: Cell) -> Column:
    return Column(name, cell, priority=1)


def _column(name: str, cell: Cell, kind: str = "string") -> Column:
    return Column(name, cell, kind)


def _age_at(path: str) -> Cell:
    return lambda item, now: age(value_at(item, path), now)


def _claim_phase(item: JsonObject, _: datetime) -> str:
    return "Terminating" if is_deleting(item) else str(value_at(item, "status.phase") or "")


def _claim_of(item: JsonObject, _: datetime) -> str:
    reference = value_at(item, "spec.claimRef") or {}
    return f"{reference.get('namespace')}/{reference.get('name')}" if reference.get("name") else ""


def _pod_ready(item: JsonObject, _: datetime) -> str:
    states = value_at(item, "status.containerStatuses") or ()
    total = len(value_at(item, "spec.containers") or ())
    return f"{sum(bool(state.get('ready')) for state in states)}/{total}"


def _pod_status(item: JsonObject, _: datetime) -> str:
    if is_deleting(item):
        return "Terminating"
    reason = value_at(item, "status.reason") or value_at(item, "status.phase") or "Unknown"
    for state in value_at(item, "status.containerStatuses") or ():
        current = state.get("state") or {}
        for name in ("waiting", "terminated"):
            found = current.get(name) or {}
            if found.get("reason"):
                reason = found["reason"]
            elif found.get("exitCode") is not None:
                reason = f"ExitCode:{found['exitCode']}"
    return str(reason)


def _pod_restarts(item: JsonObject, _: datetime) -> str:
    return str(sum(state.get("restartCount", 0) for state in value_at(item, "status.containerStatuses") or ()))


def _job_status(item: JsonObject, _: datetime) -> str:
    if is_deleting(item):
        return "Terminating"
    for condition in value_at(item, "status.conditions") or ():
        if condition["status"] == "True" and condition["type"] in ("Complete", "Failed", "Suspended"):
            return str(condition["type"])
    return "Running"


def _job_completions(item: JsonObject, _: datetime) -> str:
    return f"{value_at(item, 'status.succeeded') or 0}/{value_at(item, 'spec.completions') or 1}"


def _job_duration(item: JsonObject, now: datetime) -> str:
    start, end = value_at(item, "status.startTime"), value_at(item, "status.completionTime")
    if not start:
        return ""
    return human_duration((parse_time(end) if end else now) - parse_time(start))


def _node_status(item: JsonObject, _: datetime) -> str:
    ready = [each for each in value_at(item, "status.conditions") or () if each["type"] == "Ready"]
    status = "Unknown" if not ready else "Ready" if ready[0]["status"] == "True" else "NotReady"
    return f"{status},SchedulingDisabled" if value_at(item, "spec.unschedulable") else status


def _node_roles(item: JsonObject, _: datetime) -> str:
    prefix = "node-role.kubernetes.io/"
    labels = item["metadata"].get("labels") or {}
    return ",".join(sorted(key.removeprefix(prefix) for key in labels if key.startswith(prefix))) or _NONE


def _internal_ip(item: JsonObject, _: datetime) -> str:
    addresses = value_at(item, "status.addresses") or ()
    return str(next((each["address"] for each in addresses if each["type"] == "InternalIP"), _NONE))


def _event_object(item: JsonObject, _: datetime) -> str:
    reference = item.get("involvedObject") or item.get("regarding") or {}
    return f"{str(reference.get('kind', '')).lower()}/{reference.get('name', '')}"


def _event_seen(item: JsonObject, now: datetime) -> str:
    for path in ("series.lastObservedTime", "lastTimestamp", "deprecatedLastTimestamp", "eventTime"):
        if value_at(item, path):
            return age(value_at(item, path), now)
    return age(None, now)


def _ports(item: JsonObject, _: datetime) -> str:
    ports = value_at(item, "spec.ports") or ()
    return ",".join(f"{port.get('port')}/{port.get('protocol', 'TCP')}" for port in ports) or _NONE


def _role_of_binding(item: JsonObject, _: datetime) -> str:
    reference = item.get("roleRef") or {}
    return f"{reference.get('kind')}/{reference.get('name')}"


def _selector(item: JsonObject, _: datetime) -> str:
    labels = value_at(item, "spec.selector.matchLabels") or value_at(item, "spec.selector") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()) if isinstance(value, str)) or _NONE


def _ready_of(wanted: str, ready: str) -> Cell:
    return lambda item, _: f"{value_at(item, ready) or 0}/{value_at(item, wanted) or 0}"


def _is_default_class(item: JsonObject, _: datetime) -> str:
    annotations = item["metadata"].get("annotations") or {}
    default = annotations.get("storageclass.kubernetes.io/is-default-class") == "true"
    return f"{item['metadata']['name']} (default)" if default else str(item["metadata"]["name"])


def _quota(item: JsonObject, _: datetime) -> str:
    hard, used = value_at(item, "status.hard") or {}, value_at(item, "status.used") or {}
    return ", ".join(f"{name}: {used.get(name, '0')}/{limit}" for name, limit in sorted(hard.items()))


def _service_reference(item: JsonObject, _: datetime) -> str:
    service = value_at(item, "spec.service")
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def _condition(name: str) -> Callable[[JsonObject, datetime], str]:
    def cell(item: JsonObject, _: datetime) -> str:
        for condition in value_at(item, "status.conditions") or ():
            if condition["type"] == name:
                reason = (
                    f" ({condition['reason']})" if condition["status"] != "True" and condition.get("reason") else ""
                )
                return f"{condition['status']}{reason}"
        return "Unknown"

    return cell


def _endpoints(item: JsonObject, _: datetime) -> str:
    """The first three addresses with their ports, and how many follow."""
    found = [
        f"{address['ip']}:{port['port']}" if port else str(address["ip"])
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or (None,)
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(found) - _SHOWN_ENDPOINTS} more..." if len(found) > _SHOWN_ENDPOINTS else ""
    return ",".join(found[:_SHOWN_ENDPOINTS]) + more or _NONE


_SET = (NAME, _column("Ready", _ready_of("spec.replicas", "status.readyReplicas")))
_REPLICAS = (
    NAME,
    _column("Desired", _at("spec.replicas", 0), "integer"),
    _column("Current", _at("status.replicas", 0), "integer"),
    _column("Ready", _at("status.readyReplicas", 0), "integer"),
    AGE,
)

BUILTIN_COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "ConfigMap"): (NAME, _column("Data", _count("data"), "integer"), AGE),
    ("", "Secret"): (NAME, _column("Type", _text("type")), _column("Data", _count("data"), "integer"), AGE),
    ("", "Endpoints"): (NAME, _column("Endpoints", _endpoints), AGE),
    ("", "Namespace"): (NAME, _column("Status", _text("status.phase")), AGE),
    ("", "ServiceAccount"): (NAME, _column("Secrets", _count("secrets"), "integer"), AGE),
    ("", "Pod"): (
        NAME,
        _column("Ready", _pod_ready),
        _column("Status", _pod_status),
        _column("Restarts", _pod_restarts),
        AGE,
        _wide("IP", _text("status.podIP", _NONE)),
        _wide("Node", _text("spec.nodeName", _NONE)),
        _wide("Nominated Node", _text("status.nominatedNodeName", _NONE)),
        _wide("Readiness Gates", lambda _item, _now: _NONE),
    ),
    ("", "Node"): (
        NAME,
        _column("Status", _node_status),
        _column("Roles", _node_roles),
        AGE,
        _column("Version", _text("status.nodeInfo.kubeletVersion")),
        _wide("Internal-IP", _internal_ip),
        _wide("OS-Image", _text("status.nodeInfo.osImage", "<unknown>")),
        _wide("Kernel-Version", _text("status.nodeInfo.kernelVersion", "<unknown>")),
    ),
    ("", "Service"): (
        NAME,
        _column("Type", _text("spec.type")),
        _column("Cluster-IP", _text("spec.clusterIP", _NONE)),
        _column("External-IP", lambda _item, _now: _NONE),
        _column("Port(s)", _ports),
        AGE,
        _wide("Selector", _selector),
    ),
    ("", "PersistentVolumeClaim"): (
        NAME,
        _column("Status", _claim_phase),
        _column("Volume", _text("spec.volumeName")),
        _column("Capacity", _text("status.capacity.storage")),
        _column("Access Modes", _modes("status.accessModes")),
        _column("StorageClass", _text("spec.storageClassName")),
        _column("VolumeAttributesClass", _text("spec.volumeAttributesClassName", "<unset>")),
        AGE,
        _wide("VolumeMode", _text("spec.volumeMode")),
    ),
    ("", "PersistentVolume"): (
        NAME,
        _column("Capacity", _text("spec.capacity.storage")),
        _column("Access Modes", _modes("spec.accessModes")),
        _column("Reclaim Policy", _text("spec.persistentVolumeReclaimPolicy")),
        _column("Status", _claim_phase),
        _column("Claim", _claim_of),
        _column("StorageClass", _text("spec.storageClassName")),
        _column("VolumeAttributesClass", _text("spec.volumeAttributesClassName", "<unset>")),
        _column("Reason", _text("status.reason")),
        AGE,
        _wide("VolumeMode", _text("spec.volumeMode")),
    ),
    ("", "Event"): (
        _column("Last Seen", _event_seen),
        _column("Type", _text("type")),
        _column("Reason", _text("reason")),
        _column("Object", _event_object),
        _column("Message", _text("message")),
        Column("Name", NAME.cell, format="name", priority=1),
    ),
    ("events.k8s.io", "Event"): (
        _column("Last Seen", _event_seen),
        _column("Type", _text("type")),
        _column("Reason", _text("reason")),
        _column("Object", _event_object),
        _column("Message", _text("note")),
        Column("Name", NAME.cell, format="name", priority=1),
    ),
    ("", "ResourceQuota"): (NAME, _column("Request", _quota), AGE),
    ("", "LimitRange"): (NAME, _column("Created At", _text("metadata.creationTimestamp"))),
    ("apps", "Deployment"): (
        *_SET,
        _column("Up-to-date", _at("status.updatedReplicas", 0), "integer"),
        _column("Available", _at("status.availableReplicas", 0), "integer"),
        AGE,
        _wide("Selector", _selector),
    ),
    ("apps", "StatefulSet"): (*_SET, AGE),
    ("", "ReplicationController"): _REPLICAS,
    ("apps", "ReplicaSet"): _REPLICAS,
    ("apps", "DaemonSet"): (
        NAME,
        _column("Desired", _at("status.desiredNumberScheduled", 0), "integer"),
        _column("Current", _at("status.currentNumberScheduled", 0), "integer"),
        _column("Ready", _at("status.numberReady", 0), "integer"),
        AGE,
    ),
    ("apps", "ControllerRevision"): (NAME, _column("Revision", _at("revision", 0), "integer"), AGE),
    ("batch", "Job"): (
        NAME,
        _column("Status", _job_status),
        _column("Completions", _job_completions),
        _column("Duration", _job_duration),
        AGE,
        _wide("Selector", _selector),
    ),
    ("batch", "CronJob"): (
        NAME,
        _column("Schedule", _text("spec.schedule")),
        _column("Timezone", _text("spec.timeZone", _NONE)),
        _column("Suspend", lambda item, _: str(bool(value_at(item, "spec.suspend")))),
        _column("Active", _count("status.active"), "integer"),
        _column("Last Schedule", _age_at("status.lastScheduleTime")),
        AGE,
    ),
    ("storage.k8s.io", "StorageClass"): (
        Column("Name", _is_default_class, format="name"),
        _column("Provisioner", _text("provisioner")),
        _column("ReclaimPolicy", _text("reclaimPolicy")),
        _column("VolumeBindingMode", _text("volumeBindingMode")),
        _column("AllowVolumeExpansion", lambda item, _: str(bool(item.get("allowVolumeExpansion"))).lower()),
        AGE,
    ),
    ("storage.k8s.io", "VolumeAttachment"): (
        NAME,
        _column("Attacher", _text("spec.attacher")),
        _column("PV", _text("spec.source.persistentVolumeName")),
        _column("Node", _text("spec.nodeName")),
        _column("Attached", lambda item, _: str(bool(value_at(item, "status.attached"))).lower()),
        AGE,
    ),
    ("rbac.authorization.k8s.io", "Role"): (NAME, _column("Created At", _text("metadata.creationTimestamp"))),
    ("rbac.authorization.k8s.io", "ClusterRole"): (NAME, _column("Created At", _text("metadata.creationTimestamp"))),
    ("rbac.authorization.k8s.io", "RoleBinding"): (NAME, _column("Role", _role_of_binding), AGE),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): (NAME, _column("Role", _role_of_binding), AGE),
    ("coordination.k8s.io", "Lease"): (NAME, _column("Holder", _text("spec.holderIdentity")), AGE),
    ("networking.k8s.io", "NetworkPolicy"): (NAME, _column("Pod-Selector", _selector), AGE),
    ("scheduling.k8s.io", "PriorityClass"): (
        NAME,
        _column("Value", _at("value", 0), "integer"),
        _column("Global-Default", lambda item, _: str(bool(item.get("globalDefault"))).lower()),
        AGE,
    ),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): (
        NAME,
        _column("Created At", _text("metadata.creationTimestamp")),
    ),
    ("apiregistration.k8s.io", "APIService"): (
        NAME,
        _column("Service", _service_reference),
        _column("Available", _condition("Available")),
        AGE,
    ),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): (
        NAME,
        _column("Webhooks", _count("webhooks"), "integer"),
        AGE,
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): (
        NAME,
        _column("Webhooks", _count("webhooks"), "integer"),
        AGE,
    ),
}
