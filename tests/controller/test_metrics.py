"""What Prometheus is told about runs that ended."""

from datetime import UTC, datetime, timedelta
from typing import Any

from safehold.api import Failure, VMBackup
from safehold.api.vmbackup import ReachedConsistency, VMBackupStatus, VolumeBackup
from safehold.controller.metrics import Metrics
from safehold.plan.backup.run import Decision

START = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
LABELS = {"namespace": "shop"}


def backup(**status: Any) -> VMBackup:
    """A VMBackup of the namespace shop."""
    target = {"kind": "ClusterBackupTarget", "name": "primary"}
    found = VMBackup.model_validate(
        {"metadata": {"name": "b", "namespace": "shop"}, "spec": {"vm": {"name": "db"}, "targetRef": target}}
    )
    return found.model_copy(update={"status": VMBackupStatus(**status)})


def ended(**status: Any) -> Decision:
    """A decision that ended the run a minute after its start."""
    return Decision(status=VMBackupStatus(start_time=START, completion_time=START + timedelta(minutes=1), **status))


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """One sample."""
    return metrics.registry.get_sample_value(name, {**LABELS, **labels})


def test_a_good_run_is_counted_with_its_bytes_and_times() -> None:
    """Result, seconds, frozen time, bytes, and the time of the last success."""
    metrics = Metrics()
    frozen = ReachedConsistency(reached="Filesystem", reason="frozen", frozen_millis=200)
    metrics.record(backup(start_time=START), ended(consistency=frozen, bytes_read=7, bytes_stored=3))
    assert value(metrics, "safehold_backups_total", result="Succeeded") == 1
    assert value(metrics, "safehold_backup_seconds_sum") == 60
    assert value(metrics, "safehold_frozen_seconds_sum") == 0.2
    assert value(metrics, "safehold_bytes_total", kind="read") == 7
    assert value(metrics, "safehold_bytes_total", kind="stored") == 3
    assert value(metrics, "safehold_last_success_timestamp_seconds") == START.timestamp() + 60


def test_a_failed_run_is_counted_by_its_reason_and_is_no_success() -> None:
    """Bytes of failed runs are not counted, and the last success stays as it was."""
    metrics = Metrics()
    metrics.record(backup(), ended(failure=Failure(reason="SnapshotFailed", message="m"), bytes_read=7))
    assert value(metrics, "safehold_backups_total", result="SnapshotFailed") == 1
    assert value(metrics, "safehold_last_success_timestamp_seconds") is None
    assert value(metrics, "safehold_bytes_total", kind="read") is None


def test_a_run_is_counted_once() -> None:
    """Neither while it goes on nor when its end is looked at again."""
    metrics = Metrics()
    metrics.record(backup(), Decision(status=VMBackupStatus(start_time=START)))
    metrics.record(backup(completion_time=START), ended())
    assert value(metrics, "safehold_backups_total", result="Succeeded") is None


def test_no_label_names_a_vm() -> None:
    """The number of series does not grow with VMs."""
    metrics = Metrics()
    metrics.record(backup(), ended())
    labels = {label for family in metrics.registry.collect() for sample in family.samples for label in sample.labels}
    assert labels <= {"namespace", "result", "kind", "le"}


def test_lies_are_counted_by_their_engine() -> None:
    """Each volume about which a run was told something wrong, whoever told it."""
    metrics = Metrics()
    wrong = [volume(engine="CSI", mismatched_bytes=7), volume(engine="CSI", mismatched_bytes=1)]
    metrics.record_lies(backup(), wrong)
    assert value(metrics, "safehold_changed_blocks_lied_total", engine="CSI") == 2


def volume(**changes: Any) -> VolumeBackup:
    """One volume of a status."""
    known = {"name": "data", "mode": "Block", "claim_name": "c", "claim_uid": "u", "capacity_bytes": 1}
    return VolumeBackup.model_validate({**known, **changes})
