"""The words of a restore against the recording of the real controller, from the planner alone."""

from __future__ import annotations

import copy
from datetime import UTC, datetime

from sandbox.cluster.client import Object
from sandbox.cluster.metadata import controller_reference, with_finalizers, with_status
from sandbox.kubevirt.names import RESTORE_FINALIZER
from sandbox.kubevirt.restores import steps
from sandbox.kubevirt.restores.observed import Observed
from sandbox.kubevirt.restores.plan import next_step
from sandbox.kubevirt.stepping import Wait

from .world import Record, recording

_NOW = datetime(2026, 11, 22, 9, 52, 26, tzinfo=UTC)


def _words(restore: Object) -> tuple[object, ...]:
    """What a client of the restore reads."""
    status = restore.get("status") or {}
    reasons = {item["type"]: (item["status"], item["reason"]) for item in status.get("conditions") or []}
    claims = {item["volumeName"]: item["persistentVolumeClaim"] for item in status.get("restores") or []}
    owners = len(restore["metadata"].get("ownerReferences") or [])
    return status.get("complete"), reasons, claims, restore["metadata"].get("finalizers") or [], owners


def _first(records: list[Record], kind: str, name: str) -> Object:
    return next(record.obj for record in records if record.kind == kind and record.obj["metadata"]["name"] == name)


def _played(observed: Observed) -> list[tuple[object, ...]]:
    """The restore's states when every claim is bound at once and the target is made as asked."""
    restore, target, claims = observed.restore, observed.target, dict(observed.claims)
    seen: list[tuple[object, ...]] = []
    for _ in range(30):
        known = Observed(
            restore=restore,
            snapshot=observed.snapshot,
            content=observed.content,
            target=target,
            target_runs=False,
            claims=claims,
            restore_sizes={},
        )
        match next_step(known, _NOW):
            case Wait():
                return seen
            case steps.WriteStatus(status, _):
                restore = {**restore, "status": status}
            case steps.Adopt(owner):
                restore = with_finalizers(restore, add=[RESTORE_FINALIZER])
                if owner:
                    restore["metadata"]["ownerReferences"] = [controller_reference(owner)]
            case steps.CreateClaims(made):
                claims |= {item["metadata"]["name"]: {**item, "status": {"phase": "Bound"}} for item in made}
            case steps.CreateTarget(vm) | steps.UpdateTarget(vm):
                target = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", **copy.deepcopy(vm)}
                target["metadata"].setdefault("uid", "new")
            case steps.MarkTarget(name):
                assert target is not None
                target = with_status(target, {"restoreInProgress": name})
        if not seen or seen[-1] != _words(restore):
            seen.append(_words(restore))
    raise AssertionError("the planner does not come to rest")


def test_a_restore_to_a_new_machine_reads_as_recorded() -> None:
    """Every state of the restore, its claims' names and its finalizer, up to "Operation complete"."""
    records = recording("22")
    recorded = [
        record.obj
        for record in records
        if record.obj["metadata"]["name"] == "r-new2" and record.kind == "VirtualMachineRestore"
    ]
    snapshot = _first(records, "VirtualMachineSnapshot", "backup-1")
    content = _first(records, "VirtualMachineSnapshotContent", snapshot["status"]["virtualMachineSnapshotContentName"])
    expected: list[tuple[object, ...]] = []
    for obj in recorded[1:]:
        # The real controller's cache sometimes finds its own claim and says so for a moment: that is not imitated.
        if "already exists" not in str(obj) and (not expected or expected[-1] != _words(obj)):
            expected.append(_words(obj))
    fresh = {**recorded[0], "metadata": {**recorded[0]["metadata"], "finalizers": []}}
    fresh.pop("status", None)
    played = _played(
        Observed(
            restore=fresh,
            snapshot=snapshot,
            content=content,
            target=None,
            target_runs=False,
            claims={},
            restore_sizes={},
        )
    )
    assert len(expected) >= 5
    assert played == expected
