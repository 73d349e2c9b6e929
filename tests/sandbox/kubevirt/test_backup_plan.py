"""The backup planner against the recordings: at every moment of them its next step is what the real one wrote then."""

from __future__ import annotations

import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.cluster.client import Object
from sandbox.kubevirt.backups import steps
from sandbox.kubevirt.backups.observed import Observed
from sandbox.kubevirt.backups.plan import next_step
from sandbox.kubevirt.names import BACKUP_FINALIZER
from sandbox.kubevirt.stepping import Wait

from .world import Record, recording

_KINDS = {
    "VirtualMachine": "vm",
    "VirtualMachineInstance": "vmi",
    "VirtualMachineBackupTracker": "tracker",
    "VirtualMachineExport": "export",
    "PersistentVolumeClaim": "claim",
}
_TIMES = ("lastTransitionTime", "endTimestamp", "ttlDuration")


class Moment:
    """The objects around one backup, as the recording has them up to now."""

    def __init__(self, backup: str) -> None:
        self._name = backup
        self._found: dict[str, Object] = {}

    def apply(self, record: Record) -> None:
        """Takes over one event, if it concerns the backup."""
        name = record.obj["metadata"]["name"]
        if record.kind == "VirtualMachineBackup" and name == self._name:
            self._found["backup"] = record.obj
        if record.kind not in _KINDS or not self._concerns(record.kind, name):
            return
        if record.kind == "VirtualMachineInstance" and _job(self._found.get("vmi")) and not _job(record.obj):
            # One step with the final status, which follows: that status is made of what is cleared here.
            return
        if record.event == "DELETED":
            self._found.pop(_KINDS[record.kind], None)
        else:
            self._found[_KINDS[record.kind]] = record.obj

    def observed(self) -> Observed | None:
        """What the planner sees; None before the backup exists."""
        return Observed(**copy.deepcopy(self._found)) if "backup" in self._found else None

    def _concerns(self, kind: str, name: str) -> bool:
        if kind == "PersistentVolumeClaim":
            backup = self._found.get("backup")
            return name.startswith("bk-") and (backup is None or name == backup["spec"]["pvcName"])
        return name == self._name if kind == "VirtualMachineExport" else name.startswith("cbt")


def _job(vmi: Object | None) -> Object | None:
    found: Object | None = ((vmi or {}).get("status") or {}).get("changedBlockTracking", {}).get("backupStatus")
    return found


@pytest.mark.parametrize(
    ("name", "backup", "writes"),
    [("31", "b-full", 6), ("32", "b-inc", 6), ("33", "b-bad", 6), ("34", "b-pull", 10), ("35", "b-abort", 7)],
)
def test_the_planner_writes_what_the_real_controller_wrote(name: str, backup: str, writes: int) -> None:
    """Finalizer, plugging, status for status, tracker, export: each write of a push, a pull, a failure, an abort."""
    moment = Moment(backup)
    checked: list[str] = []
    for record in recording(name):
        observed = moment.observed()
        if observed is not None and (expected := _write(record, observed)) is not None:
            now = datetime.fromisoformat(observed.backup["metadata"]["creationTimestamp"]) + timedelta(seconds=1)
            assert _taken(next_step(observed, now)) == expected
            checked.append(expected[0])
        moment.apply(record)
    assert len(checked) >= writes


def _write(record: Record, before: Observed) -> tuple[str, Any] | None:
    """What the controller wrote with this event: the step's name and what it holds; None for everybody else's."""
    after, metadata = record.obj, record.obj["metadata"]
    match record.kind:
        case "VirtualMachineBackup" if record.event == "MODIFIED" and metadata["name"] == before.name:
            if BACKUP_FINALIZER in metadata.get("finalizers", []) != before.backup["metadata"].get("finalizers", []):
                return "AddFinalizer", None
            return ("Status", _plain(after["status"])) if after.get("status") != before.backup.get("status") else None
        case "VirtualMachineInstance" if before.vmi is not None:
            asked = len(after["spec"].get("utilityVolumes") or []) - len(before.vmi["spec"].get("utilityVolumes") or [])
            return {0: None, 1: ("AttachClaim", None), -1: ("DetachClaim", None)}[asked]
        case "VirtualMachineBackupTracker" if record.event == "MODIFIED":
            return "AdvanceTracker", _plain(after["status"]["latestCheckpoint"])
        case "VirtualMachineExport" if metadata["name"] == before.name and record.event == "ADDED":
            return "CreateExport", _plain(after["spec"])
        case "VirtualMachineExport" if metadata["name"] == before.name and record.event == "DELETED":
            return "DeleteExport", None
        case _:
            return None


def _taken(step: steps.Step) -> tuple[str, Any]:
    match step:
        case steps.WriteStatus(status) | steps.StartJob(_, status) | steps.AbortJob(status) | steps.Finish(status, _):
            return "Status", _plain(status)
        case steps.AdvanceTracker(checkpoint):
            return "AdvanceTracker", _plain(checkpoint)
        case steps.CreateExport(export):
            return "CreateExport", _plain(export["spec"])
        case _:
            return type(step).__name__, None


def _plain(found: Any) -> Any:
    """Without what differs from one time to the next."""
    if isinstance(found, dict):
        return {key: _plain(value) for key, value in found.items() if key not in _TIMES}
    return [_plain(item) for item in found] if isinstance(found, list) else found


def _waiting(**parts: Any) -> Observed:
    """A backup through a tracker of a VM `web` that runs and is tracked; keyword arguments replace parts."""
    metadata = {"namespace": "shop", "creationTimestamp": "2026-11-22T09:00:00Z", "uid": "u"}
    status = {"phase": "Running", "changedBlockTracking": {"state": "Enabled"}}
    volumes = [{"name": "root", "persistentVolumeClaim": {"claimName": "root"}}]
    found: dict[str, Any] = {
        "backup": {
            "metadata": {**metadata, "name": "b"},
            "spec": {"source": {"kind": "VirtualMachineBackupTracker", "name": "t"}, "pvcName": "stage"},
        },
        "tracker": {"metadata": {**metadata, "name": "t"}, "spec": {"source": {"name": "web"}}},
        "vm": {"metadata": {**metadata, "name": "web"}, "spec": {}},
        "vmi": {"metadata": {**metadata, "name": "web"}, "spec": {"volumes": volumes}, "status": status},
        "claim": {"metadata": {**metadata, "name": "stage"}},
    }
    return Observed(**{**found, **parts})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"tracker": None}, "BackupTracker t does not exist"),
        ({"vm": None}, "VM shop/web doesnt exist"),
        ({"vmi": None}, "vm web is not running, cannot do backup"),
        ({"vmi": {"metadata": {}, "spec": {}, "status": {"phase": "Running"}}}, "vm web has no volumes to backup"),
        (
            {
                "vmi": {
                    "metadata": {},
                    "spec": {"volumes": [{"name": "r", "persistentVolumeClaim": {"claimName": "r"}}]},
                    "status": {"phase": "Running"},
                }
            },
            "vm web has no ChangedBlockTracking, cannot start backup",
        ),
        ({"claim": None}, "PVC shop/stage doesnt exist"),
    ],
)
def test_what_a_backup_waits_for(parts: dict[str, Any], message: str) -> None:
    """It says what is missing, without a finalizer and without a limit of time."""
    step = next_step(_waiting(**parts), datetime(2026, 11, 22, 9, 0, 1, tzinfo=UTC))
    assert isinstance(step, steps.WriteStatus)
    condition = step.status["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("Progressing", "True", "Initializing")
    assert condition["message"] == message


def test_one_backup_of_a_machine_at_a_time() -> None:
    """While another one's job runs in the guest, the next one waits, although its own claim is plugged already."""
    waiting = _waiting()
    assert waiting.vmi is not None
    waiting.vmi["spec"]["utilityVolumes"] = [{"name": "b-backup-target-pvc", "claimName": "stage"}]
    waiting.vmi["status"]["volumeStatus"] = [{"name": "b-backup-target-pvc", "phase": "MountedToPod"}]
    waiting.backup["metadata"]["finalizers"] = [BACKUP_FINALIZER]
    waiting.backup["status"] = {}
    now = datetime(2026, 11, 22, 9, 0, 1, tzinfo=UTC)
    assert isinstance(next_step(waiting, now), steps.StartJob)
    waiting.vmi["status"]["changedBlockTracking"]["backupStatus"] = {"backupName": "other"}
    assert isinstance(next_step(waiting, now), Wait)
