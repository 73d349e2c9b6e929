"""VirtualMachines as the planner sees them, and thawing their guests."""

from collections.abc import Iterator

from safehold.errors import ConflictError, NotFoundError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM, VMI, VMI_SUBRESOURCES
from safehold.kube.machine_state import own_state_of, state_claim_of
from safehold.plan.backup.exclusion import EXCLUDE_VOLUMES
from safehold.plan.backup.facts import DiskFacts, MachineFacts
from safehold.plan.machine_state import STATE_VOLUME, captured_name

FROZEN = "frozen"
"""`status.fsFreezeStatus` of a VMI whose file systems are frozen; empty otherwise."""
ENDED = ("Succeeded", "Failed")
"""Phases of a VMI that runs no more."""


async def observe_machine(cluster: Cluster, namespace: str, name: str) -> MachineFacts | None:
    """The VM, and whether its guest is frozen now."""
    vm = await cluster.get(VM, name, namespace)
    if vm is None:
        return None
    vmi = await cluster.get(VMI, name, namespace)
    status = vm.get("status") or {}
    own_state = tuple(own_state_of(vm))
    state_claim = await state_claim_of(cluster, namespace, name, vmi) if own_state else None
    return MachineFacts(
        name=name,
        uid=vm["metadata"]["uid"],
        disks=(*disks_of(vm), *_state_disks(vm, state_claim)),
        unsaved_disks=tuple(sorted(claims_of_instance(vmi).keys() - claims_of(vm).keys())),
        excluded_by_owner=excluded_by_owner(vm),
        own_state=own_state,
        crashed="startFailure" in status,
        running=is_running(vmi),
        frozen=freeze_status(vmi) == FROZEN,
        snapshot_in_progress=status.get("snapshotInProgress"),
        migrating=is_migrating(vmi),
        node=node_of(vmi),
        deleting="deletionTimestamp" in vm["metadata"],
    )


def freeze_status(vmi: Manifest | None) -> str:
    """The guest's freeze state, empty when there is no guest."""
    return str(((vmi or {}).get("status") or {}).get("fsFreezeStatus") or "")


def is_running(vmi: Manifest | None) -> bool:
    """Whether there is an instance that has not ended."""
    return vmi is not None and (vmi.get("status") or {}).get("phase") not in ENDED


def node_of(vmi: Manifest | None) -> str:
    """Where the guest runs; empty when it does not."""
    return str(((vmi or {}).get("status") or {}).get("nodeName") or "") if is_running(vmi) else ""


def is_migrating(vmi: Manifest | None) -> bool:
    """Whether the guest is on its way to another node."""
    state = ((vmi or {}).get("status") or {}).get("migrationState") or {}
    return bool(state.get("startTimestamp")) and not (state.get("completed") or state.get("failed"))


def disks_of(vm: Manifest) -> Iterator[DiskFacts]:
    """The volumes that outlive the VM's run.

    Others are made anew at each start (containerDisk, cloudInit, emptyDisk, ephemeral, ConfigMaps and such).
    """
    said = {entry["name"]: entry for entry in (vm.get("status") or {}).get("volumeSnapshotStatuses") or []}
    for volume in _volumes(vm):
        claim = claim_of(volume)
        if claim is None and "hostDisk" not in volume:
            continue
        yield _disk(volume["name"], claim, said.get(volume["name"]))


def _state_disks(vm: Manifest, claim: str | None) -> Iterator[DiskFacts]:
    """The volume with TPM and EFI state. Not every KubeVirt says of it whether it can be snapshotted."""
    if claim is None:
        return
    statuses = (vm.get("status") or {}).get("volumeSnapshotStatuses") or []
    said = next((entry for entry in statuses if entry["name"] == captured_name(vm["metadata"]["name"])), None)
    yield _disk(STATE_VOLUME, claim, said or {"enabled": True})


def _disk(name: str, claim: str | None, said: Manifest | None) -> DiskFacts:
    if claim is None:
        reason = "a hostDisk lies on one node and cannot be snapshotted"
        return DiskFacts(name=name, claim=None, snapshottable=False, reason=reason)
    if said is None:
        return DiskFacts(name=name, claim=claim, snapshottable=None)
    return DiskFacts(name=name, claim=claim, snapshottable=bool(said.get("enabled")), reason=said.get("reason") or "")


def excluded_by_owner(vm: Manifest) -> tuple[str, ...]:
    """The volumes that the VM's annotation leaves out of backups."""
    written: str = (vm["metadata"].get("annotations") or {}).get(EXCLUDE_VOLUMES) or ""
    return tuple(name for part in written.split(",") if (name := part.strip()))


def claims_of(vm: Manifest) -> dict[str, str]:
    """Volume name to claim name."""
    return {volume["name"]: claim for volume in _volumes(vm) if (claim := claim_of(volume))}


def claims_of_instance(vmi: Manifest | None) -> dict[str, str]:
    """Volume name to claim name of what runs, hot-plugged volumes included; nothing of an instance that has ended."""
    if vmi is None or not is_running(vmi):
        return {}
    volumes: list[Manifest] = vmi["spec"].get("volumes") or []
    return {volume["name"]: claim for volume in volumes if (claim := claim_of(volume))}


def claim_of(volume: Manifest) -> str | None:
    """The claim of a VM's volume; a DataVolume has the claim of its own name."""
    if "persistentVolumeClaim" in volume:
        return str(volume["persistentVolumeClaim"]["claimName"])
    if "dataVolume" in volume:
        return str(volume["dataVolume"]["name"])
    return None


def memory_dumps_of(vm: Manifest) -> set[str]:
    """Names of volumes that hold copies of the VM's memory; KubeVirt snapshots them, and no restore gives them back."""
    return {volume["name"] for volume in _volumes(vm) if "memoryDump" in volume}


async def thaw(cluster: Cluster, namespace: str, name: str) -> None:
    """Unfreeze the guest; fine when it is thawed already, or gone."""
    try:
        await cluster.put(VMI_SUBRESOURCES, name, namespace, subresource="unfreeze")
    except (NotFoundError, ConflictError):  # no such VMI, or not running: nothing is frozen
        return


def _volumes(vm: Manifest) -> list[Manifest]:
    spec = ((vm.get("spec") or {}).get("template") or {}).get("spec") or {}
    volumes: list[Manifest] = spec.get("volumes") or []
    return volumes
