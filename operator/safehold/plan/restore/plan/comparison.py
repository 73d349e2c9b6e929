"""When two plans do the same, and where they differ."""

import hashlib
import json
from collections.abc import Iterator, Sequence

from safehold.api.restore_plan import PlannedChange, PlannedVolume, RestorePlan

_NAMED = 5
"""Differences that a message names; of more it gives the number."""


def hash_of(plan: RestorePlan) -> str:
    """Over what is left in the end, and not over the way to it, how long that takes, or when it was planned.

    The point's own snapshot goes with the VM's next backup, and what is fetched then instead is the same.
    """
    document = json.dumps(_essence(plan), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(document.encode(), digest_size=16).hexdigest()


def differences(planned: RestorePlan, present: RestorePlan) -> str:
    """What would now be done otherwise, as a part of a sentence; empty when nothing is."""
    found = list(_differences(planned, present))
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return "; ".join(found[:_NAMED]) + more


def _essence(plan: RestorePlan) -> dict[str, object]:
    return {
        "point": plan.restore_point,
        "volumes": [_volume(volume) for volume in plan.volumes],
        "changes": sorted(_change(change) for change in plan.changes if not change.temporary),
    }


def _volume(volume: PlannedVolume) -> list[object]:
    return [volume.name, volume.claim_name, volume.storage_class_name, volume.capacity_bytes]


def _change(change: PlannedChange) -> tuple[str, ...]:
    """With its reason: that says how much of what, where Kubernetes makes the name up."""
    name = change.name or change.why
    return change.action, change.kind, change.namespace or "", name


def _differences(planned: RestorePlan, present: RestorePlan) -> Iterator[str]:
    if planned.restore_point != present.restore_point:
        yield f"the point was {planned.restore_point} and is {present.restore_point}"
    before, after = ({volume.name: volume for volume in plan.volumes} for plan in (planned, present))
    for name in sorted(before.keys() | after.keys()):
        yield from _volume_difference(name, before.get(name), after.get(name))
    yield from _change_differences(planned.changes, present.changes)


def _volume_difference(name: str, before: PlannedVolume | None, after: PlannedVolume | None) -> Iterator[str]:
    if before is None or after is None:
        yield f"volume {name} is {'new' if before is None else 'gone'}"
        return
    for what, old, new in (
        ("claim", before.claim_name, after.claim_name),
        ("StorageClass", before.storage_class_name, after.storage_class_name),
        ("size", before.capacity_bytes, after.capacity_bytes),
    ):
        if old != new:
            yield f"the {what} of volume {name} was {old} and is {new}"


def _change_differences(planned: Sequence[PlannedChange], present: Sequence[PlannedChange]) -> Iterator[str]:
    before, after = (
        {_change(change): change for change in changes if not change.temporary} for changes in (planned, present)
    )
    for gone in sorted(before.keys() - after.keys()):
        yield f"{_called(before[gone])} is no longer to do"
    for new in sorted(after.keys() - before.keys()):
        yield f"{_called(after[new])} was not planned"


def _called(change: PlannedChange) -> str:
    name = f"{change.namespace}/{change.name}" if change.namespace else change.name
    return f"{change.action} {change.kind} {name or '(' + change.why + ')'}"
