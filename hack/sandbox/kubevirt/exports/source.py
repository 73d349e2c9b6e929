"""What an export serves, and what stands in the way: from its source object and the source's claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.cluster.client import Object, Objects
from sandbox.cluster.metadata import annotations_of
from sandbox.kubevirt.conditions import condition_of
from sandbox.kubevirt.names import CONTENT_TYPE

DISK_FORMATS = {"raw": "disk.img", "gzip": "disk.img.gz"}
FOLDER_FORMATS = {"dir": "dir", "tar.gz": "disk.tar.gz"}
"""Format → last part of the path below /volumes/<claim>/."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """`conditions` besides Ready; `refusal` is Ready's while nothing can be served.

    `claims` are those to serve, by the name that the links give them; `wanted` those that the export must make first;
    `machine` is the VM of the manifests; `volumes` are those of a backup; `in_backup` is the state of that backup.
    """

    refusal: Object | None = None
    conditions: Objects = field(default_factory=list)
    phase: str = "Pending"
    machine_name: str | None = None
    machine: Object | None = None
    claims: dict[str, Object] = field(default_factory=dict)
    wanted: Objects = field(default_factory=list)
    volumes: tuple[str, ...] = ()
    in_backup: Object | None = None

    @property
    def bound(self) -> bool:
        """True once all claims to serve are there and bound."""
        return not self.wanted and all(_is_bound(claim) for claim in self.claims.values())


def claim_source(namespace: str, name: str, claim: Object | None, users: list[str]) -> Source:
    """A claim that no pod uses; `users` are the pods that do, without the export's own."""
    where = f"{namespace}/{name}"
    if claim is None:
        missing = _condition("PVCReady", "False", "PVCNotFound", f"PersistentVolumeClaim {where} not found")
        return Source(refusal=_condition("Ready", "False", "Initializing"), conditions=[missing])
    found = _condition("PVCReady", *(("True", "PVCBound") if _is_bound(claim) else ("False", "PVCPending")))
    if users:
        in_use = _condition("Ready", "False", "InUse", f"PersistentVolumeClaim {where} is in use")
        return Source(refusal=in_use, conditions=[found])
    return Source(conditions=[found], claims={name: claim})


def machine_source(vm: Object | None, namespace: str, name: str, claims: Mapping[str, Object], *, runs: bool) -> Source:
    """A VM that does not run, with its claims by name."""
    where = f"{namespace}/{name}"
    if vm is None:
        refusal = _condition("Ready", "False", "VMNotFound", f"VirtualMachine {where} not found")
        return Source(refusal=refusal, machine_name=name)
    if runs:
        refusal = _condition("Ready", "False", "InUse", f"Virtual Machine {where} is running")
        return Source(refusal=refusal, machine_name=name)
    if not claims:
        refusal = _condition("Ready", "False", "VMNoVolumes", f"Virtual Machine {where} contains no volumes")
        return Source(refusal=refusal, machine_name=name, phase="Skipped")
    return Source(machine_name=name, machine=vm, claims=dict(claims))


def snapshot_source(
    export: Object, snapshot: Object | None, content: Object | None, vm: Object | None, claims: Mapping[str, Object]
) -> Source:
    """A snapshot that is ready. `claims` are the export's own, made from the snapshot, by name.

    The manifests are of the VM as it is now; without a VM there are none, as by KubeVirt's code.
    """
    namespace, name = export["metadata"]["namespace"], export["spec"]["source"]["name"]
    where = f"VirtualMachineSnapshot {namespace}/{name}"
    if snapshot is None:
        empty = f"{where} does not contain any volume snapshots"
        return Source(
            refusal=_condition("Ready", "False", "VMSnapshotNotFound", f"{where} not found"),
            conditions=[_condition("VolumesCreated", "False", "VMSnapshotNoVolumes", empty)],
            phase="Skipped",
            machine_name="",
        )
    machine_name = str(snapshot["spec"]["source"]["name"])
    if not (snapshot.get("status") or {}).get("readyToUse") or content is None:
        refusal = _condition("Ready", "False", "Initializing", f"{where} is not ready to use")
        return Source(refusal=refusal, machine_name=machine_name)
    made = {backup["persistentVolumeClaim"]["metadata"]["name"]: backup for backup in content["spec"]["volumeBackups"]}
    names = {original: restored_claim_name(export, original) for original in made}
    missing = [backup for original, backup in made.items() if names[original] not in claims]
    there = {original: claims[own] for original, own in names.items() if own in claims}
    ready = not missing and all(_is_bound(claim) for claim in there.values())
    words = ("True", "AllPVCsReady") if ready else ("False", "NotAllPVCsReady", "Not all PVCs are ready")
    return Source(
        conditions=[_condition("VolumesCreated", *words)],
        machine_name=machine_name,
        machine=vm,
        claims=there,
        wanted=missing,
    )


def backup_source(backup: Object | None) -> Source:
    """A backup in pull mode: its volumes are served from the guest, and its progress is the export's Ready."""
    progress = condition_of(backup, "Progressing") or {}
    volumes = tuple(item["volumeName"] for item in ((backup or {}).get("status") or {}).get("includedVolumes") or [])
    if backup is None or not volumes:
        none = _condition("Ready", "False", "VirtualMachineBackupReady", "VMBackup has no included volumes")
        return Source(refusal=none)
    ready = _condition("Ready", "True", "VirtualMachineBackupReady", str(progress.get("message") or ""))
    return Source(volumes=volumes, in_backup=ready)


def restored_claim_name(export: Object, original: str) -> str:
    """The claim that an export makes from the snapshot of a claim."""
    return f"{export['metadata']['name']}-{original}"


def formats_of(claim: Object) -> dict[str, str]:
    """Format → last part of its path: a disk is served raw and gzipped, any other folder as files and archive."""
    is_disk = claim["spec"].get("volumeMode") == "Block" or annotations_of(claim).get(CONTENT_TYPE) == "kubevirt"
    return DISK_FORMATS if is_disk else FOLDER_FORMATS


def _is_bound(claim: Object) -> bool:
    return bool((claim.get("status") or {}).get("phase") == "Bound")


def _condition(kind: str, status: str, reason: str, message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, **({"message": message} if message else {})}
