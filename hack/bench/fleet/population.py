"""The fleet's objects, written into the API server's journal before it starts: 65,000 requests would take minutes."""

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.fleet.catalogue import finished_backups, policies
from bench.fleet.shape import VOLUME, Shape
from safehold.kube.kinds import BACKUP_POLICY, VM_BACKUP, Kind
from sandbox.apiserver.journal import FileJournal
from sandbox.apiserver.store import Key, Store
from sandbox.csi.names import DRIVER

DISK_SIZE = "20Gi"
DISK_BYTES = 20 << 30
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_CLOUD_INIT_LINES = 64

Object = dict[str, Any]


def populate(state: Path, shape: Shape, created: datetime) -> int:
    """Write VMs with their claims and volumes, policies and a catalogue; the mean size of a VM's JSON in bytes."""
    state.mkdir(parents=True, exist_ok=True)
    journal = FileJournal(state / "objects.jsonl")
    store = Store(journal)
    journal.restore(store)
    total = 0
    for namespace in shape.namespace_names():
        store.create(Key("", "namespaces", "", namespace), _namespace(namespace, created))
    for namespace, name, group in shape.machines():
        machine = machine_of(namespace, name, group, created)
        total += len(json.dumps(machine, separators=(",", ":")))
        store.create(Key("kubevirt.io", "virtualmachines", namespace, name), machine)
        claim = claim_of(namespace, name, created)
        store.create(Key("", "persistentvolumeclaims", namespace, name), claim)
        volume = volume_of(claim, created)
        store.create(Key("", "persistentvolumes", "", volume["metadata"]["name"]), volume)
    for policy in policies(shape, created):
        store.create(_key(BACKUP_POLICY, policy), policy)
    for backup in finished_backups(shape, created):
        store.create(_key(VM_BACKUP, backup), backup)
    journal.close()
    return total // shape.vms


def _key(kind: Kind, found: Object) -> Key:
    return Key(kind.group, kind.plural, found["metadata"]["namespace"], found["metadata"]["name"])


def machine_of(namespace: str, name: str, group: str, created: datetime) -> Object:
    """A stopped VM as GitOps tools leave it: with its last applied configuration, and the fields of both managers."""
    labels = {"group": group, "app.kubernetes.io/part-of": namespace, "tier": "gold"}
    spec = _spec(name)
    applied = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"labels": labels}, "spec": spec}
    status = {
        "conditions": [_condition("Ready", "False", created), _condition("LiveMigratable", "True", created)],
        "printableStatus": "Stopped",
        "volumeSnapshotStatuses": [{"name": VOLUME, "enabled": True}],
    }
    managed = [
        _managed("argocd-controller", "Apply", {"metadata": {"labels": labels}, "spec": spec}, created),
        _managed("virt-controller", "Update", {"status": status, "spec": spec}, created),
    ]
    metadata = {**_metadata(name, namespace, created), "labels": labels, "generation": 1, "managedFields": managed}
    metadata["annotations"] = {_LAST_APPLIED: json.dumps(applied, separators=(",", ":"))}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


def claim_of(namespace: str, name: str, created: datetime) -> Object:
    """The bound claim of a VM's disk."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": _metadata(name, namespace, created),
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Block",
            "storageClassName": "sandbox",
            "resources": {"requests": {"storage": DISK_SIZE}},
            "volumeName": f"pv-{namespace}-{name}",
        },
        "status": {"phase": "Bound", "capacity": {"storage": DISK_SIZE}, "accessModes": ["ReadWriteOnce"]},
    }


def volume_of(claim: Object, created: datetime) -> Object:
    """The volume under a claim."""
    metadata, spec = claim["metadata"], claim["spec"]
    name = spec["volumeName"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": _metadata(name, "", created),
        "spec": {
            "accessModes": spec["accessModes"],
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "claimRef": {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]},
            "csi": {"driver": DRIVER, "volumeHandle": name},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": spec.get("storageClassName", ""),
            "volumeMode": "Block",
        },
        "status": {"phase": "Bound"},
    }


def _spec(name: str) -> Object:
    lines = "\n".join(f"  - echo 'step {line} of the first boot of {name}' >> /x" for line in range(_CLOUD_INIT_LINES))
    devices = {
        "disks": [{"name": VOLUME, "disk": {"bus": "virtio"}}, {"name": "cloudinit", "disk": {"bus": "virtio"}}],
        "interfaces": [{"name": "default", "masquerade": {}, "model": "virtio"}],
        "rng": {},
    }
    volumes = [
        {"name": VOLUME, "persistentVolumeClaim": {"claimName": name}},
        {"name": "cloudinit", "cloudInitNoCloud": {"userData": f"#cloud-config\nruncmd:\n{lines}\n"}},
    ]
    domain = {"cpu": {"cores": 2}, "memory": {"guest": "4Gi"}, "machine": {"type": "q35"}, "devices": devices}
    template = {
        "metadata": {"labels": {"kubevirt.io/domain": name}},
        "spec": {
            "architecture": "amd64",
            "domain": domain,
            "networks": [{"name": "default", "pod": {}}],
            "terminationGracePeriodSeconds": 180,
            "volumes": volumes,
        },
    }
    return {"runStrategy": "Halted", "template": template}


def _namespace(name: str, created: datetime) -> Object:
    metadata = {**_metadata(name, "", created), "labels": {"backup": "allowed", "kubernetes.io/metadata.name": name}}
    spec = {"finalizers": ["kubernetes"]}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": metadata,
        "spec": spec,
        "status": {"phase": "Active"},
    }


def _metadata(name: str, namespace: str, created: datetime) -> Object:
    place = {"namespace": namespace} if namespace else {}
    return {"name": name, **place, "uid": str(uuid.uuid4()), "creationTimestamp": f"{created:%FT%TZ}"}


def _condition(kind: str, status: str, when: datetime) -> Object:
    return {"type": kind, "status": status, "lastTransitionTime": f"{when:%FT%TZ}", "reason": "GuestNotRunning"}


def _managed(manager: str, operation: str, fields: Object, when: datetime) -> Object:
    return {
        "manager": manager,
        "operation": operation,
        "apiVersion": "kubevirt.io/v1",
        "time": f"{when:%FT%TZ}",
        "fieldsType": "FieldsV1",
        "fieldsV1": dict(_fields(fields)),
    }


def _fields(value: Object) -> Iterator[tuple[str, Object]]:
    for key, item in value.items():
        yield f"f:{key}", dict(_fields(item)) if isinstance(item, dict) else {}
