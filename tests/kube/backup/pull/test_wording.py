"""KubeVirt's words about its backups, as they were recorded of the real controllers."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.kube.backup.pull.wording import backup_facts, instance_facts, rivals, tracker_facts
from safehold.kube.client import Manifest
from safehold.plan.backup.pull.facts import PullBackupFacts, ServedDisk

RECORDINGS = Path(__file__).parents[4] / ".." / "shared" / "transcripts"
pytestmark = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recordings of the real controllers (../shared/transcripts) are not here"
)


def recorded(name: str) -> Iterator[Manifest]:
    """The objects of a recording, in order."""
    for entry in yaml.safe_load_all((RECORDINGS / f"{name}.yaml").read_text()):
        if entry:
            yield entry["object"]


def course(recording: str, backup: str) -> list[PullBackupFacts]:
    """One backup from its creation to its end, each time with its export as it was then."""
    exports: dict[str, Manifest] = {}
    found = []
    for entry in recorded(recording):
        if entry["kind"] == "VirtualMachineExport":
            exports[entry["metadata"]["name"]] = entry
        if entry["kind"] == "VirtualMachineBackup" and entry["metadata"]["name"] == backup:
            found.append(backup_facts(entry, exports.get(backup)))
    return found


def test_pull_is_ready_once_its_export_has_links() -> None:
    """Waiting until then; complete as soon as somebody ends it; the freeze is told with its time."""
    looks = course("34-cbt-backup-pull", "b-pull")
    states = [look.state for look in looks]
    assert list(dict.fromkeys(states)) == ["Waiting", "Ready", "Complete"]
    ready = next(look for look in looks if look.readable)
    assert not ready.incremental
    assert ready.checkpoint.startswith("b-pull-")
    assert set(ready.served) == set(ready.disks) == {"root", "data"}
    assert ready.served["root"] == ServedDisk(
        map_url="https://virt-export-b-pull.lab2.svc/exports/root/map",
        data_url="https://virt-export-b-pull.lab2.svc/exports/root/data",
    )
    assert ready.ca.startswith("-----BEGIN CERTIFICATE-----")
    assert ready.taken_at is not None
    assert ready.taken_at >= ready.created
    assert looks[-1].deleting


def test_failed_backup_says_why() -> None:
    """The message is that of the Failed condition."""
    failed = next(
        facts
        for entry in recorded("33-cbt-backup-failed")
        if entry["kind"] == "VirtualMachineBackup" and (facts := backup_facts(entry, None)).state == "Failed"
    )
    assert failed.message


def test_tracker_moves_on_when_a_pull_ends() -> None:
    """Nobody has read it; its name and disks are the tracker's latest all the same."""
    trackers = [
        tracker_facts(entry)
        for entry in recorded("34-cbt-backup-pull")
        if entry["kind"] == "VirtualMachineBackupTracker"
    ]
    assert trackers[0].latest != trackers[-1].latest
    assert (trackers[-1].latest or "").startswith("b-pull-")
    assert set(trackers[-1].latest_disks) == {"root", "data"}
    assert trackers[-1].committed is None


def test_instance_says_what_is_under_way() -> None:
    """The tracking's state, and the backup that KubeVirt is at, until it is complete."""
    looks = [
        instance_facts(entry)
        for entry in recorded("34-cbt-backup-pull")
        if entry["kind"] == "VirtualMachineInstance" and entry["metadata"]["name"] == "cbt"
    ]
    assert {look.tracking for look in looks} == {"Enabled"}
    assert [*dict.fromkeys(look.backup_in_progress for look in looks)] == [None, "b-pull"]


def _backup(name: str, kind: str, source: str, **conditions: str) -> dict[str, Any]:
    shown = [{"type": kind, "status": status} for kind, status in conditions.items()]
    return {
        "metadata": {"name": name},
        "spec": {"source": {"kind": kind, "name": source}},
        "status": {"conditions": shown},
    }


def test_rivals_are_found_by_vm_and_by_tracker() -> None:
    """Backups of the VM that have not ended, whatever they name as their source; not our own."""
    trackers = [{"metadata": {"name": "theirs"}, "spec": {"source": {"name": "db"}}}]
    backups = [
        _backup("own", "VirtualMachine", "db"),
        _backup("direct", "VirtualMachine", "db"),
        _backup("tracked", "VirtualMachineBackupTracker", "theirs"),
        _backup("other-tracker", "VirtualMachineBackupTracker", "unknown"),
        _backup("other-vm", "VirtualMachine", "web"),
        _backup("done", "VirtualMachine", "db", Complete="True"),
        _backup("failed", "VirtualMachine", "db", Failed="True"),
    ]
    assert rivals("db", "own", backups, trackers) == ("direct", "tracked")
