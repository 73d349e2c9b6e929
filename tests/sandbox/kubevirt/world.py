"""A world in memory for the snapshot planner, and recordings of the real controllers to hold it against."""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.cluster.client import Object, timestamp
from sandbox.cluster.metadata import with_finalizers, with_status
from sandbox.kubevirt.names import CONTENT_FINALIZER, SNAPSHOT_FINALIZER, SOURCE_FINALIZER
from sandbox.kubevirt.snapshots import steps
from sandbox.kubevirt.snapshots.observed import Observed
from sandbox.kubevirt.snapshots.plan import next_step
from sandbox.kubevirt.stepping import Wait

TRANSCRIPTS = Path(__file__).parents[3] / ".." / "shared" / "transcripts"
_HEADER = re.compile(r"^# t=\S+ \S+\s+(\S+) (\S+) (\S+) rv=(\d+) lastManager=(\S*)")


@dataclass(frozen=True)
class Record:
    """One recorded watch event."""

    event: str
    kind: str
    version: int
    obj: Object


def recording(name: str) -> list[Record]:
    """A transcript's events in the order in which the API server took the writes."""
    found = sorted(TRANSCRIPTS.glob(f"{name}-*.yaml")) if TRANSCRIPTS.is_dir() else []
    if not found:
        pytest.skip("the recordings of the real controllers (../shared/transcripts) are not on this machine")
    records = []
    for text in found[0].read_text(encoding="utf-8").split("\n---\n"):
        lines = text.removeprefix("---\n").splitlines()
        header = next((match for line in lines if (match := _HEADER.match(line))), None)
        if header:
            document = yaml.load("\n".join(lines), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
            records.append(Record(header[1], header[2], int(header[4]), document["object"]))
    return sorted(records, key=lambda record: record.version)


def facts(kind: str, obj: Object | None) -> dict[str, Any]:
    """What is compared of an object: everything that somebody could wait for, without times and uids."""
    if obj is None:
        return {}
    status = obj.get("status") or {}
    finalizers = obj["metadata"].get("finalizers") or []
    if kind == "VirtualMachine":
        return {"inProgress": status.get("snapshotInProgress"), "protected": SOURCE_FINALIZER in finalizers}
    shown: dict[str, Any] = {
        "exists": True,
        "finalizers": finalizers,
        "deleting": "deletionTimestamp" in obj["metadata"],
    }
    if kind == "VolumeSnapshot":
        return {"exists": True}
    shown |= {"ready": status.get("readyToUse"), "cut": "creationTime" in status}
    shown["error"] = (status.get("error") or {}).get("message")
    if kind == "VirtualMachineSnapshot":
        for condition in status.get("conditions") or []:
            shown[condition["type"]] = (condition["status"], condition["reason"])
        for plain in ("phase", "indications", "snapshotVolumes", "sourceIndications"):
            shown[plain] = status.get(plain)
        shown["content"] = status.get("virtualMachineSnapshotContentName")
    return shown


def changes(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The facts that differ."""
    return {name: after.get(name) for name in sorted({*before, *after}) if before.get(name) != after.get(name)}


@dataclass
class World:
    """Objects in memory, and every write to them as (kind, changed facts)."""

    snapshot: Object
    vm: Object | None
    vmi: Object | None
    claims: dict[str, Object]
    now: datetime
    classes: dict[str, str | None]
    content: Object | None = None
    volume_snapshots: dict[str, Object] = field(default_factory=dict)
    frozen: bool = False
    freeze_errors: list[str] = field(default_factory=list)
    thaw_errors: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    writes: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    gone: bool = False

    @property
    def machine(self) -> Object:
        """The VM, which must be there."""
        assert self.vm is not None
        return self.vm

    def observed(self) -> Observed:
        """The world as the planner sees it."""
        return Observed(
            snapshot=self.snapshot,
            vm=self.vm,
            vmi=self.vmi,
            content=self.content,
            volume_snapshots=self.volume_snapshots,
            claims=self.claims,
            snapshot_classes=self.classes,
            started_spec=copy.deepcopy(self.vm["spec"]) if self.vm else None,
            frozen=self.frozen,
        )

    def settle(self) -> float | None:
        """Takes steps until there is something to wait for; returns how long."""
        for _ in range(60):
            if self.gone:
                return None
            step = next_step(self.observed(), self.now)
            if isinstance(step, Wait):
                return step.seconds
            self._take(step)
        raise AssertionError("the planner does not come to rest")

    def _write(self, kind: str, before: Object | None, after: Object | None) -> None:
        changed = changes(facts(kind, before), facts(kind, after))
        if changed:
            self.writes.append((kind, changed))

    def _set_snapshot(self, after: Object) -> None:
        self._write("VirtualMachineSnapshot", self.snapshot, after)
        self.snapshot = after

    def _set_vm(self, after: Object) -> None:
        self._write("VirtualMachine", self.vm, after)
        self.vm = after

    def _set_content(self, after: Object | None) -> None:
        self._write("VirtualMachineSnapshotContent", self.content, after)
        self.content = after

    def _take(self, step: steps.Step) -> None:
        name = self.snapshot["metadata"]["name"]
        match step:
            case steps.AddFinalizer():
                self._set_snapshot(with_finalizers(self.snapshot, add=[SNAPSHOT_FINALIZER]))
            case steps.RemoveFinalizer():
                self._set_snapshot(with_finalizers(self.snapshot, remove=[SNAPSHOT_FINALIZER]))
                self.gone = True
            case steps.WriteStatus(status):
                self._set_snapshot({**self.snapshot, "status": status})
            case steps.LockSource():
                self._set_vm(with_status(self.machine, {"snapshotInProgress": name}))
                self._set_vm(with_finalizers(self.machine, add=[SOURCE_FINALIZER]))
            case steps.UnlockSource():
                self._set_vm(with_finalizers(self.machine, remove=[SOURCE_FINALIZER]))
                self._set_vm(with_status(self.machine, {"snapshotInProgress": None}))
            case _:
                self._take_on_content(step)

    def _take_on_content(self, step: steps.Step) -> None:
        match step:
            case steps.CreateContent(content):
                content["metadata"]["uid"] = "content-uid"
                self._set_content({"apiVersion": "v1", "kind": "VirtualMachineSnapshotContent", **content})
            case steps.CreateVolumeSnapshots(volume_snapshots):
                for item in volume_snapshots:
                    self.volume_snapshots[item["metadata"]["name"]] = item
                    self._write("VolumeSnapshot", None, item)
            case steps.WriteContentStatus(status):
                assert self.content is not None
                self._set_content({**self.content, "status": status})
            case steps.DeleteContent():
                assert self.content is not None
                after = copy.deepcopy(self.content)
                after["metadata"]["deletionTimestamp"] = timestamp(self.now)
                self._set_content(after)
            case steps.ReleaseContent():
                assert self.content is not None
                assert CONTENT_FINALIZER in self.content["metadata"]["finalizers"]
                self._set_content(None)
                self.volume_snapshots.clear()
            case steps.Freeze() | steps.Thaw():
                self._quiesce(step)

    def _quiesce(self, step: steps.Freeze | steps.Thaw) -> None:
        self.calls.append(type(step).__name__)
        errors = self.freeze_errors if isinstance(step, steps.Freeze) else self.thaw_errors
        if errors:
            assert self.content is not None
            error = {"message": errors.pop(0), "time": timestamp(self.now)}
            status = {**(self.content.get("status") or {}), "readyToUse": False, "error": error}
            self._set_content({**self.content, "status": status})
            return
        self.frozen = isinstance(step, steps.Freeze)


def cut(world: World, *, ready: bool = True) -> None:
    """Lets the storage cut every VolumeSnapshot."""
    for item in world.volume_snapshots.values():
        item["status"] = {"creationTime": timestamp(world.now), "readyToUse": ready}


def later(world: World, seconds: float) -> None:
    """Lets time pass."""
    world.now += timedelta(seconds=seconds)
