"""The quicker ways to a volume's content: from the point's own snapshot, or from one of the volume that is replaced.

Both are snapshots of the storage's own, from which a new volume is made within it. The worker then compares the new
volume with the point, chunk by chunk, and fetches what differs: so neither is trusted further than it is right.
"""

from collections.abc import Collection
from datetime import timedelta

from safehold.api.base import VolumeMode
from safehold.api.capture import SnapshotHandle
from safehold.api.restore_plan import PlannedPath
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.names import pair_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import Ways
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.steps import DeleteClaim, DeleteJob, MakePair, Record, RemovePair, Wait
from safehold.plan.storage import Claim

PHASE = "Filling"
PATIENCE = timedelta(minutes=5)
"""How long a volume may take to be made from a snapshot, before everything is fetched instead."""

_NO_OLDER_COPY = "there is no older copy of the volume to complete"
_NO_SAFETY = "there is no safety snapshot of the volume that is replaced"


def choose_ways(look: Look) -> Decision | None:
    """Record for each volume what it is made from, and why not from something better."""
    if all(record.path or record.step for record in look.status.volumes):
        return None
    records = [record if record.path else _with_path(look, record) for record in look.status.volumes]
    return look.goes_on(Record(), PHASE, "chose how each volume gets its content", volumes=records)


def foresee_way(look: Look, record: VolumeRestore, snapshot_drivers: Collection[str]) -> tuple[PlannedPath, str | None]:
    """What `choose_ways` will record if the safety snapshot comes about, and why nothing better.

    `snapshot_drivers` are those that have a VolumeSnapshotClass.
    """
    ways = _ways(look, record)
    if not look.in_place:
        obstacle: str | None = _NO_OLDER_COPY
    elif look.restore.spec.safety_snapshot is False:
        obstacle = _NO_SAFETY
    elif ways.driver not in snapshot_drivers:
        obstacle = f"StorageClass {record.storage_class_name} has no VolumeSnapshotClass"
    else:
        obstacle = None
    return _way(record, _own_obstacle(record, ways), obstacle)


def open_snapshots(look: Look) -> Decision | None:
    """Until the snapshots are ready to make volumes from; a volume that does not come about is fetched instead."""
    decisions = [found for record in look.status.volumes if (found := _open_snapshot(look, record))]
    # One that is waited for keeps none of the others waiting.
    return min(decisions, key=lambda decision: isinstance(decision.step, Wait), default=None)


def close_snapshots(look: Look) -> Decision | None:
    """Once the volumes are made and filled, and their claims with the VM, nobody needs our pairs any more."""
    for record in look.status.volumes:
        if _ways(look, record).has_pair:
            name = pair_name(look.uid, record.name)
            return look.goes_on(RemovePair(name), "HandingOver", "closes the snapshots that volumes were made from")
    return None


def _open_snapshot(look: Look, record: VolumeRestore) -> Decision | None:
    if record.step is not None:
        return None
    prime = look.volume(record).prime
    if prime is None:
        return _open_pair(look, record) if record.path == "Delta" else None
    if prime.snapshot != record.source_snapshot:
        return _drop_prime(look, prime)
    if _is_stuck(look, prime):
        return _fetch_instead(look, record, "no volume could be made from the snapshot in time")
    return None


def _open_pair(look: Look, record: VolumeRestore) -> Decision | None:
    ways = _ways(look, record)
    if ways.pair_ready:
        return None
    if ways.pair_since is None:
        if not isinstance(ways.safety, SnapshotHandle):
            return _fetch_instead(look, record, _missing_safety(ways))
        return look.goes_on(MakePair(ways.safety, look.labels), PHASE, "opens the safety snapshot")
    if look.now - ways.pair_since > PATIENCE:
        why = ways.pair_error or "the CSI driver did not answer in time"
        return _fetch_instead(look, record, f"the snapshot cannot be read: {why}")
    return look.waits(PHASE, f"waits for the CSI driver: {ways.pair_error}".rstrip(": "))


def _with_path(look: Look, record: VolumeRestore) -> VolumeRestore:
    ways = _ways(look, record)
    path, reason = _way(record, _own_obstacle(record, ways), _delta_obstacle(look, record, ways))
    sources = {"Snapshot": ways.own.name if ways.own else None, "Delta": pair_name(look.uid, record.name)}
    return record.model_copy(update={"path": path, "path_reason": reason, "source_snapshot": sources.get(path)})


def _way(record: VolumeRestore, own_obstacle: str | None, delta_obstacle: str | None) -> tuple[PlannedPath, str | None]:
    if record.role == "State":
        return "Full", "TPM and EFI state is a few files, which are always written anew"
    if own_obstacle is None:
        return "Snapshot", None
    if delta_obstacle is None:
        return "Delta", own_obstacle
    return "Full", f"{own_obstacle}; {delta_obstacle}"


def _own_obstacle(record: VolumeRestore, ways: Ways) -> str | None:
    own = ways.own
    if own is None:
        return "the point's own snapshot is not kept in the cluster"
    return _misfit(record, ways, own.driver, own.mode, own.restore_size_bytes)


def _delta_obstacle(look: Look, record: VolumeRestore, ways: Ways) -> str | None:
    if not look.in_place:
        return _NO_OLDER_COPY
    safety = ways.safety
    if not isinstance(safety, SnapshotHandle):
        return _missing_safety(ways)
    return _misfit(record, ways, safety.driver, safety.source_volume_mode, safety.restore_size_bytes)


def _missing_safety(ways: Ways) -> str:
    if isinstance(ways.safety, Refusal):
        return ways.safety.message
    return _NO_SAFETY


def _misfit(record: VolumeRestore, ways: Ways, driver: str, mode: VolumeMode | None, size_bytes: int) -> str | None:
    if ways.driver != driver:
        return f"StorageClass {record.storage_class_name} is of driver {ways.driver}, the snapshot of {driver}"
    if mode not in (None, record.mode):
        return f"the snapshot is of a {mode} volume, the new one is {record.mode}"
    if record.capacity_bytes < size_bytes:
        return f"the snapshot needs {size_bytes} bytes, the new volume has {record.capacity_bytes}"
    return None


def _is_stuck(look: Look, prime: Claim) -> bool:
    made_from = prime.snapshot is not None and prime.phase != "Bound" and prime.created is not None
    return made_from and not prime.deleting and look.now - (prime.created or look.now) > PATIENCE


def _fetch_instead(look: Look, record: VolumeRestore, why: str) -> Decision:
    changed = record.model_copy(update={"path": "Full", "path_reason": why, "source_snapshot": None, "prime_uid": None})
    records = [changed if other.name == record.name else other for other in look.status.volumes]
    return look.goes_on(Record(), PHASE, f"fetches all of volume {record.name}: {why}", volumes=records)


def _drop_prime(look: Look, prime: Claim) -> Decision:
    """The worker first, which waits for it, or else the claim would stay."""
    if look.seen.job is not None:
        return look.goes_on(DeleteJob(look.seen.job.name), PHASE, "removes the worker")
    if prime.deleting:
        return look.waits(PHASE, f"claim {prime.ref.name}, which came to no volume, is being deleted")
    return look.goes_on(DeleteClaim(prime.ref), PHASE, f"removes claim {prime.ref.name}, which came to no volume")


def _ways(look: Look, record: VolumeRestore) -> Ways:
    return look.seen.ways.get(record.name) or Ways()
