"""The snapshot controller's decisions: against the recordings of the real one, and where those are silent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from .world import Record, World, changes, cut, facts, later, recording

_KINDS = ("VirtualMachineSnapshot", "VirtualMachine", "VirtualMachineSnapshotContent", "VolumeSnapshot")
_MOMENT = timedelta(milliseconds=300)


def _existing(records: list[Record], kind: str) -> list[Any]:
    """The last state of every object of a kind before anything happened."""
    newest = {
        (record.obj["metadata"]["name"]): record.obj
        for record in records
        if record.event == "EXISTING" and record.kind == kind
    }
    return list(newest.values())


def _recorded_world(
    records: list[Record], snapshot: str, freeze_errors: list[str], thaw_errors: list[str] | None = None
) -> World:
    """The world as it was when the snapshot had just been created."""
    created = next(
        record.obj
        for record in records
        if record.event == "ADDED"
        and record.kind == "VirtualMachineSnapshot"
        and record.obj["metadata"]["name"] == snapshot
    )
    name = created["spec"]["source"]["name"]
    vm = next(obj for obj in _existing(records, "VirtualMachine") if obj["metadata"]["name"] == name)
    vmis = [obj for obj in _existing(records, "VirtualMachineInstance") if obj["metadata"]["name"] == name]
    claims = {obj["metadata"]["name"]: obj for obj in _existing(records, "PersistentVolumeClaim")}
    # A snapshot of the initial list also shows what the test before it had not let go of yet.
    return World(
        snapshot={**created, "metadata": {**created["metadata"], "finalizers": []}},
        vm=vm,
        vmi=vmis[0] if vmis else None,
        claims=claims,
        classes=dict.fromkeys(claims, "hostpath-snap"),
        now=datetime.fromisoformat(created["metadata"]["creationTimestamp"]) + _MOMENT,
        freeze_errors=freeze_errors,
        thaw_errors=thaw_errors or [],
    )


def _recorded_writes(records: list[Record], world: World) -> list[tuple[str, dict[str, Any]]]:
    """The real controller's writes about this snapshot, as changed facts."""
    uid = world.snapshot["metadata"]["uid"]
    known: dict[str, dict[str, Any]] = {"VirtualMachine": facts("VirtualMachine", world.vm)}
    known["VirtualMachineSnapshot"] = facts("VirtualMachineSnapshot", world.snapshot)
    writes = []
    for record in records:
        metadata = record.obj["metadata"]
        about = uid in metadata["name"] or metadata["uid"] in (uid, world.machine["metadata"]["uid"])
        if record.event == "EXISTING" or record.kind not in _KINDS or not about:
            continue
        key = metadata["name"] if record.kind == "VolumeSnapshot" else record.kind
        after = {} if record.event == "DELETED" else facts(record.kind, record.obj)
        changed = changes(known.get(key, {}), after)
        known[key] = after
        if changed and not (record.kind == "VolumeSnapshot" and not after):
            writes.append((record.kind, changed))
    return writes


def _replay(world: World, records: list[Record]) -> None:
    """Settles, then gives the world each recorded change of a VolumeSnapshot's status and settles again."""
    world.settle()
    while world.freeze_errors or (world.calls and not world.volume_snapshots):
        later(world, 5)
        world.settle()
    for record in records:
        name = record.obj["metadata"]["name"]
        if record.event != "EXISTING" and record.kind == "VolumeSnapshot" and name in world.volume_snapshots:
            status = record.obj.get("status")
            if status and world.volume_snapshots[name].get("status") != status:
                world.volume_snapshots[name] = record.obj
                world.settle()
                while world.frozen and world.calls[-1] == "Thaw":
                    later(world, 5)
                    world.settle()


_FREEZE_ERROR = (
    "Internal error occurred: unexpected return code 500 (500 Internal Server Error), "
    "message: internal error: Agent error: fsfreeze hook failed"
)


_LIMIT_ERROR = (
    "Internal error occurred: unexpected return code 500 (500 Internal Server Error), "
    "message: internal error: unable to execute QEMU agent command guest-fsfreeze-thaw: "
    "fsfreeze is limited up to 10 seconds"
)


@pytest.mark.parametrize(
    ("name", "snapshot", "freeze_errors", "calls"),
    [
        ("01", "snap1", [], []),
        ("06", "on1", [], ["Freeze", "Thaw"]),
        ("07", "on2", [_FREEZE_ERROR] * 3, ["Freeze"] * 4 + ["Thaw"]),
        ("09", "on4", [], []),
        ("10", "on5", [], []),
    ],
    ids=["offline", "agent", "failing-freeze", "no-agent", "paused"],
)
def test_the_writes_are_the_recorded_ones(name: str, snapshot: str, freeze_errors: list[str], calls: list[str]) -> None:
    """Same objects, same order, same words, from the first finalizer to the last unlock."""
    records = recording(name)
    world = _recorded_world(records, snapshot, freeze_errors)
    expected = _recorded_writes(records, world)
    _replay(world, records)
    assert len(expected) > 12
    assert world.writes == expected
    assert world.calls == calls


def test_a_freeze_that_ended_by_itself_is_told_as_recorded() -> None:
    """Each thaw is answered with the limit of VSS: an error and QuiesceTimeout, which stays after the success."""
    records = recording("08")
    world = _recorded_world(records, "on3", [], [_LIMIT_ERROR] * 3)
    expected = _recorded_writes(records, world)
    _replay(world, records)
    assert world.writes == expected
    assert world.calls == ["Freeze", *["Thaw"] * 4]
    assert world.snapshot["status"]["indications"] == ["GuestAgent", "Online", "QuiesceTimeout"]


def test_an_expired_snapshot_fails_as_recorded() -> None:
    """At the deadline: content deleted, phase Failed with its reason, then the VM is unlocked."""
    records = recording("03")
    world = _recorded_world(records, "snap-dl", [])
    expected = _recorded_writes(records, world)
    _replay(world, records)
    later(world, 8)
    world.settle()
    assert _by_kind(world.writes) == _by_kind(expected)
    assert world.snapshot["status"]["phase"] == "Failed"


def _by_kind(writes: list[tuple[str, dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Within each kind only: here the recording's order between kinds was the chance of two workers."""
    return {kind: [changed for of, changed in writes if of == kind] for kind in _KINDS}


def test_everything_is_frozen_before_the_first_cut_and_thawed_after_the_last(world: Callable[..., World]) -> None:
    """One disk that is cut does not thaw the guest; the last one does, before the snapshot is called a success."""
    made = world()
    made.settle()
    assert (made.calls, made.frozen, len(made.volume_snapshots)) == (["Freeze"], True, 2)
    first = next(iter(made.volume_snapshots.values()))
    first["status"] = {"creationTime": "2026-11-22T09:00:01Z", "readyToUse": True}
    made.settle()
    assert made.frozen
    assert made.snapshot["status"]["phase"] == "InProgress"
    cut(made)
    made.settle()
    assert (made.calls, made.frozen) == (["Freeze", "Thaw"], False)
    assert (made.snapshot["status"]["phase"], made.snapshot["status"]["readyToUse"]) == ("Succeeded", True)


def test_success_may_come_before_readiness(world: Callable[..., World]) -> None:
    """Cut but not uploaded: Succeeded, unlocked and thawed, and still not ready to use."""
    made = world()
    made.settle()
    cut(made, ready=False)
    made.settle()
    assert (made.snapshot["status"]["phase"], made.snapshot["status"]["readyToUse"]) == ("Succeeded", False)
    assert "snapshotInProgress" not in made.machine["status"]
    cut(made)
    made.settle()
    assert made.snapshot["status"]["readyToUse"] is True


@pytest.mark.parametrize("stage", ["locked", "frozen", "ready"])
def test_deleting_a_snapshot_thaws_and_unlocks(world: Callable[..., World], stage: str) -> None:
    """Wherever it stands, a deleted snapshot leaves no frozen guest, no lock and no content."""
    made = world(freeze_errors=["no"] if stage == "locked" else [])
    made.settle()
    if stage == "ready":
        cut(made)
        made.settle()
    made.snapshot["metadata"]["deletionTimestamp"] = "2026-11-22T09:00:02Z"
    made.settle()
    assert (made.gone, made.frozen, made.content) == (True, False, None)
    assert "snapshotInProgress" not in (made.machine.get("status") or {})


def test_a_failing_freeze_never_cuts(world: Callable[..., World]) -> None:
    """Retried every five seconds until the deadline; then the snapshot failed without one VolumeSnapshot."""
    made = world(freeze_errors=["no"] * 1000)
    waits = []
    for _ in range(100):
        wait = made.settle()
        if wait is None:
            break
        waits.append(wait)
        later(made, wait)
    assert made.snapshot["status"]["phase"] == "Failed"
    assert made.volume_snapshots == {}
    assert max(waits) <= 5
    assert 50 <= made.calls.count("Freeze") <= 62


def test_a_deadline_of_zero_never_comes(world: Callable[..., World]) -> None:
    """FailureDeadline 0 means for ever."""
    made = world(freeze_errors=["no"])
    made.snapshot["spec"]["failureDeadline"] = "0"
    made.settle()
    later(made, 1_000_000)
    made.settle()
    assert made.snapshot["status"]["phase"] == "InProgress"


def test_a_volume_without_snapshot_class_is_left_out_and_said(world: Callable[..., World]) -> None:
    """PartialSnapshot and excludedVolumes, as recorded for a storage class without snapshots."""
    made = world(classes={"root1": "snap", "data1": None}, vmi=None)
    made.settle()
    cut(made)
    made.settle()
    status = made.snapshot["status"]
    assert status["indications"] == ["PartialSnapshot"]
    assert status["snapshotVolumes"] == {"includedVolumes": ["root"], "excludedVolumes": ["data"]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"claims": {}}, "Source not locked source lab/vm1 volume doesnt exist: root1,data1"),
        ({"vm": None, "vmi": None}, "Source does not exist"),
    ],
)
def test_what_keeps_a_snapshot_from_starting(world: Callable[..., World], change: dict[str, Any], reason: str) -> None:
    """The cause stands in the condition, in the recorded words, and nothing is locked or frozen."""
    made = world(**change)
    made.settle()
    conditions = {item["type"]: item for item in made.snapshot["status"]["conditions"]}
    assert conditions["Progressing"]["reason"] == reason
    assert made.calls == []


def test_a_second_snapshot_waits_for_the_first(world: Callable[..., World]) -> None:
    """While another one holds the VM it says so; when the VM is free it goes on by itself."""
    made = world()
    made.machine["status"] = {"snapshotInProgress": "s0"}
    made.settle()
    conditions = {item["type"]: item for item in made.snapshot["status"]["conditions"]}
    assert conditions["Progressing"]["reason"] == 'Source not locked snapshot "s0" in progress'
    made.machine["status"] = {}
    made.settle()
    assert made.frozen


def test_a_volume_snapshot_that_vanishes_makes_a_finished_snapshot_unready(world: Callable[..., World]) -> None:
    """The phase stays Succeeded; readyToUse and the error tell."""
    made = world()
    made.settle()
    cut(made)
    made.settle()
    name = next(iter(made.volume_snapshots))
    del made.volume_snapshots[name]
    made.settle()
    status = made.snapshot["status"]
    assert (status["phase"], status["readyToUse"]) == ("Succeeded", False)
    assert status["error"]["message"] == f"VolumeSnapshots ({name}) missing"


def test_a_machine_made_again_takes_over_the_snapshots_of_its_name(world: Callable[..., World]) -> None:
    """status.sourceUID of a finished snapshot follows the new VM's uid."""
    made = world()
    made.settle()
    cut(made)
    made.settle()
    made.machine["metadata"]["uid"] = "another"
    made.settle()
    assert made.snapshot["status"]["sourceUID"] == "another"


@pytest.mark.parametrize(("policy", "kept"), [("Retain", True), ("retain", True), ("Delete", False), ("keep", False)])
def test_a_ready_content_may_be_retained(world: Callable[..., World], policy: str, kept: bool) -> None:
    """DeletionPolicy Retain keeps a ready content when the snapshot goes."""
    made = world()
    made.snapshot["spec"]["deletionPolicy"] = policy
    made.settle()
    cut(made)
    made.settle()
    made.snapshot["metadata"]["deletionTimestamp"] = "2026-11-22T09:00:05Z"
    made.settle()
    assert made.gone
    assert (made.content is not None) is kept
