"""Whether the storage that VMs use can be backed up, and what Safehold keeps on it."""

from collections import defaultdict
from datetime import datetime

from safehold.errors import NotServedError
from safehold.kube.backup.changed_blocks import list_bases
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    CLAIM,
    SNAPSHOT_METADATA_SERVICES,
    STORAGE_CLASS,
    VM,
    VOLUME,
    VOLUME_SNAPSHOT_CLASS,
    VOLUME_SNAPSHOT_CONTENT,
)
from safehold.kube.storage_profiles import preferred_snapshot_classes
from safehold.kube.virtualmachines import claims_of
from safehold.plan.doctor.orphans import Orphan
from safehold.plan.doctor.verdicts import Verdict
from safehold.plan.names import ORIGINAL_POLICY, UNDO_OF
from safehold.plan.quantities import parse_bytes

_DEFAULT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"
_NAMED = 3
"""How many VMs a message names."""


async def check_storage_classes(cluster: Cluster) -> list[Verdict]:
    """For each StorageClass that VMs use: whether one VolumeSnapshotClass is named for it, or serves its driver."""
    users = await _users(cluster)
    drivers = {found["metadata"]["name"]: found["provisioner"] for found in await cluster.list(STORAGE_CLASS)}
    classes: dict[str, list[Manifest]] = defaultdict(list)
    for found in await cluster.list(VOLUME_SNAPSHOT_CLASS):
        classes[found["driver"]].append(found)
    if not users:
        return [Verdict(check="storage", level="ok", message="no VM has a claim yet")]
    preferred = await preferred_snapshot_classes(cluster, users)
    verdicts: list[Verdict] = []
    for name, machines in sorted(users.items()):
        serving = classes.get(drivers.get(name, ""), [])
        if name in preferred:
            serving = [found for found in serving if found["metadata"]["name"] == preferred[name]]
        verdicts.append(_storage_class(name, drivers.get(name), serving, machines, preferred.get(name)))
    return verdicts


async def check_changed_blocks(cluster: Cluster) -> list[Verdict]:
    """Which CSI drivers tell changed blocks; without one all is read, which is slower but no less right."""
    for kind in SNAPSHOT_METADATA_SERVICES:
        try:
            found = await cluster.list(kind)
        except NotServedError:
            continue
        if found:
            names = ", ".join(sorted(item["metadata"]["name"] for item in found))
            return [Verdict(check="changed blocks", level="ok", message=f"SnapshotMetadata service of {names}")]
    message = "no CSI driver has a SnapshotMetadata service: changes are found by reading whole disks"
    return [Verdict(check="changed blocks", level="ok", message=message)]


async def check_held_contents(cluster: Cluster, orphans: tuple[Orphan, ...]) -> list[Verdict]:
    """How many snapshots runs hold by Retain, and of those whose run is over."""
    held = [
        found["metadata"]["name"]
        for found in await cluster.list(VOLUME_SNAPSHOT_CONTENT)
        if ORIGINAL_POLICY in (found["metadata"].get("annotations") or {})
    ]
    forgotten = sorted({orphan.name for orphan in orphans} & set(held))
    if not forgotten:
        return [Verdict(check="held snapshots", level="ok", message=f"{len(held)} held by runs that are active")]
    message = f"held by runs that are over: {', '.join(forgotten)}"
    return [
        Verdict(check="held snapshots", level="warn", message=message, remedy="safehold doctor --remove --yes lets go")
    ]


async def check_undo_volumes(cluster: Cluster) -> list[Verdict]:
    """What restores in place keep of the volumes that they replaced."""
    kept = await cluster.list(VOLUME, labels=UNDO_OF)
    if not kept:
        return [Verdict(check="undo volumes", level="ok", message="no replaced volume is kept")]
    total = sum(parse_bytes(found["spec"]["capacity"]["storage"]) for found in kept)
    message = f"{len(kept)} replaced volumes are kept, {total >> 30} GiB"
    remedy = f"when no restore will be undone: kubectl get pv -l {UNDO_OF}, then delete them and their disks"
    return [Verdict(check="undo volumes", level="warn", message=message, remedy=remedy)]


async def check_bases(cluster: Cluster, *, operator_namespace: str, now: datetime) -> list[Verdict]:
    """The snapshots that runs kept for changed blocks, with the age of the oldest, and those of VMs that are gone."""
    bases = await list_bases(cluster, operator_namespace=operator_namespace)
    if not bases:
        return [Verdict(check="bases", level="ok", message="no snapshot is kept to ask for changed blocks")]
    living = {vm["metadata"]["uid"] for vm in await cluster.list(VM)}
    lost = sorted(base.name for base in bases if base.vm_uid not in living)
    oldest = max(now - base.created for base in bases)
    message = f"{len(bases)} snapshots are kept to ask for changed blocks, the oldest for {oldest.days} days"
    if not lost:
        return [Verdict(check="bases", level="ok", message=message)]
    remedy = (
        "the controller removes them within minutes; without one: "
        f"kubectl delete volumesnapshots -n {operator_namespace} {' '.join(lost)}"
    )
    return [Verdict(check="bases", level="warn", message=f"{message}; {len(lost)} of VMs that are gone", remedy=remedy)]


async def _users(cluster: Cluster) -> dict[str, list[str]]:
    """StorageClass to the VMs that have a claim of it."""
    claims = {
        (found["metadata"]["namespace"], found["metadata"]["name"]): found["spec"].get("storageClassName") or "(none)"
        for found in await cluster.list(CLAIM)
    }
    users: dict[str, list[str]] = defaultdict(list)
    for vm in await cluster.list(VM):
        namespace, name = vm["metadata"]["namespace"], vm["metadata"]["name"]
        for used in {claims[key] for claim in claims_of(vm).values() if (key := (namespace, claim)) in claims}:
            users[used].append(f"{namespace}/{name}")
    return users


def _storage_class(
    name: str, driver: str | None, classes: list[Manifest], machines: list[str], preferred: str | None
) -> Verdict:
    users = ", ".join(sorted(machines)[:_NAMED]) + (" and others" if len(machines) > _NAMED else "")
    if not classes and preferred:
        message = f"StorageProfile {name} names VolumeSnapshotClass {preferred}, which driver {driver} does not have"
        remedy = "correct the profile's spec.snapshotClass, or take it away"
        return Verdict(
            check="storage", level="warn", message=f"{message}, so {users} cannot be backed up", remedy=remedy
        )
    if not classes:
        message = f"StorageClass {name} has no VolumeSnapshotClass, so {users} cannot be backed up"
        remedy = f"create a VolumeSnapshotClass for driver {driver or 'of that class'}"
        return Verdict(check="storage", level="warn", message=message, remedy=remedy)
    defaults = [
        found for found in classes if (found["metadata"].get("annotations") or {}).get(_DEFAULT_CLASS) == "true"
    ]
    if len(classes) > 1 and len(defaults) != 1:
        message = f"driver {driver} of StorageClass {name} has {len(classes)} VolumeSnapshotClasses and no one default"
        return Verdict(check="storage", level="warn", message=message, remedy=f"annotate one with {_DEFAULT_CLASS}")
    return Verdict(check="storage", level="ok", message=f"StorageClass {name} can be snapshotted, for {users}")
