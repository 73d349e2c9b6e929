"""The objects that a snapshot makes: its content and the VolumeSnapshots, with names that follow from its uid."""

from __future__ import annotations

import copy

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import controller_reference
from sandbox.kubevirt.instancetypes.copies import with_copied_revisions
from sandbox.kubevirt.names import CONTENT_FINALIZER, SOURCE_NAME, SOURCE_NAMESPACE
from sandbox.kubevirt.snapshots.observed import Observed


def content_name(snapshot_uid: str) -> str:
    """Of the VirtualMachineSnapshotContent."""
    return f"vmsnapshot-content-{snapshot_uid}"


def volume_snapshot_name(snapshot_uid: str, volume: str) -> str:
    """Of the VolumeSnapshot of one volume."""
    return f"vmsnapshot-{snapshot_uid}-volume-{volume}"


def content_of(observed: Observed) -> Object:
    """The content: a whole copy of the VM and of the claims of all volumes that can be snapshotted. It has no owner."""
    assert observed.vm is not None
    return {
        "metadata": {
            "name": content_name(observed.uid),
            "namespace": observed.snapshot["metadata"]["namespace"],
            "finalizers": [CONTENT_FINALIZER],
        },
        "spec": {
            "virtualMachineSnapshotName": observed.snapshot["metadata"]["name"],
            "source": {"virtualMachine": _captured(observed.vm, observed)},
            "volumeBackups": _volume_backups(observed),
        },
    }


def volume_snapshots_of(observed: Observed) -> Objects:
    """The VolumeSnapshots that do not exist yet, controlled by the content."""
    assert observed.content is not None
    source = observed.content["spec"]["source"]["virtualMachine"]["metadata"]
    return [
        {
            "metadata": {
                "name": backup["volumeSnapshotName"],
                "namespace": observed.content["metadata"]["namespace"],
                "labels": {SOURCE_NAME: source["name"], SOURCE_NAMESPACE: source["namespace"]},
                "ownerReferences": [controller_reference(observed.content)],
            },
            "spec": {
                "source": {"persistentVolumeClaimName": backup["persistentVolumeClaim"]["metadata"]["name"]},
                "volumeSnapshotClassName": observed.snapshot_classes.get(
                    backup["persistentVolumeClaim"]["metadata"]["name"]
                ),
            },
        }
        for backup in observed.content["spec"]["volumeBackups"]
        if backup["volumeSnapshotName"] not in observed.volume_snapshots
    ]


def _captured(vm: Object, observed: Observed) -> Object:
    """The VM as the content keeps it: online with the spec that its instance was started with, and today's volumes."""
    metadata = {key: value for key, value in copy.deepcopy(vm["metadata"]).items() if key != "managedFields"}
    spec = copy.deepcopy(vm["spec"])
    if observed.online and observed.started_spec is not None:
        spec = _with_volumes_of(copy.deepcopy(observed.started_spec), spec)
    spec = with_copied_revisions(spec, vm["metadata"]["name"], observed.snapshot["metadata"]["name"])
    # Always "Stopped", as recorded: the copy has no status of its own.
    return {"metadata": metadata, "spec": spec, "status": {"printableStatus": "Stopped"}}


def _with_volumes_of(started: Object, live: Object) -> Object:
    live_template = live["template"]["spec"]
    template = started["template"]["spec"]
    template["volumes"] = live_template.get("volumes") or []
    disks = live_template.get("domain", {}).get("devices", {}).get("disks")
    if disks is not None:
        template.setdefault("domain", {}).setdefault("devices", {})["disks"] = disks
    if "dataVolumeTemplates" in live:
        started["dataVolumeTemplates"] = live["dataVolumeTemplates"]
    return started


def _volume_backups(observed: Observed) -> Objects:
    backups: Objects = []
    for volume, name in observed.candidates.items():
        claim = observed.claims.get(name)
        if claim is None or observed.snapshot_classes.get(name) is None:
            continue
        metadata = {key: value for key, value in claim["metadata"].items() if key != "managedFields"}
        backups.append(
            {
                "volumeName": volume,
                "volumeSnapshotName": volume_snapshot_name(observed.uid, volume),
                "persistentVolumeClaim": {"metadata": metadata, "spec": claim["spec"]},
            }
        )
    return backups
