"""Numbers of a status as people read them; the printer columns show these, since they cannot compute."""

from collections.abc import Iterable
from datetime import datetime

from safehold.api import Progress
from safehold.api.vmbackup import BackupSummary, ByteCounts, VMBackupStatus
from safehold.api.vmrestore import RestoreSummary, VMRestoreSpec, VMRestoreStatus

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")
_TELLING_SECONDS = 60.0


def readable_bytes(count: int) -> str:
    """Three digits and a binary unit, such as `1.25 GiB`."""
    if count < 1024:
        return f"{count} B"
    size = float(count)
    for unit in _UNITS:
        size /= 1024
        # 999.5 and more would be rounded to four digits.
        if size < 999.5 or unit == _UNITS[-1]:
            break
    digits = 2 if size < 9.995 else 1 if size < 99.95 else 0
    return f"{size:.{digits}f} {unit}"


def readable_duration(seconds: float) -> str:
    """The two largest units, such as `1h 5m`; fractions only below ten seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    return f"{whole // 3600}h {whole % 3600 // 60}m"


def measure_progress(done: int, total: int, *, seconds: float | None) -> Progress:
    """How far a transfer is, `seconds` after its first byte; the rest is expected at the average speed so far."""
    done = min(done, total)
    speed = bytes_per_second(done, total, seconds)
    left = round((total - done) / speed) if speed else None
    if done and done == total:
        left = 0
    percent = done * 100 // total if total else 100
    return Progress(bytes_done=done, bytes_total=total, percent=percent, eta_seconds=left)


def bytes_per_second(done: int, total: int, seconds: float | None) -> float | None:
    """The average speed so far. None before the first percent or minute: how long the first chunk took says little."""
    if not done or not seconds or (done * 100 < total and seconds < _TELLING_SECONDS):
        return None
    return done / seconds


def total_counts(volumes: Iterable[ByteCounts]) -> ByteCounts:
    """The sums over all volumes; a number that no volume has stays absent."""
    volumes = list(volumes)

    def total(field: str) -> int | None:
        known = [count for volume in volumes if (count := getattr(volume, field)) is not None]
        return sum(known) if known else None

    return ByteCounts(**{field: total(field) for field in ByteCounts.model_fields})


def summarize_backup(status: VMBackupStatus) -> BackupSummary:
    """The numbers of a backup's status."""
    return BackupSummary(
        progress=_progress(status.progress, status.completion_time),
        frozen=_frozen(status),
        total=_bytes(status.bytes_total),
        read=_bytes(status.bytes_read),
        changed=_bytes(status.bytes_changed),
        uploaded=_bytes(status.bytes_uploaded),
        stored=_bytes(status.bytes_stored),
        duration=_duration(status.start_time, status.completion_time),
    )


def summarize_restore(spec: VMRestoreSpec, status: VMRestoreStatus) -> RestoreSummary:
    """The numbers of a restore's status, and its VM, which is known before it is recorded."""
    restored = [volume.bytes_restored for volume in status.volumes if volume.bytes_restored is not None]
    return RestoreSummary(
        vm=_restored_vm(spec, status),
        progress=_progress(status.progress, status.completion_time),
        restored=_bytes(sum(restored)) if restored else None,
        duration=_duration(status.start_time, status.completion_time),
    )


def _restored_vm(spec: VMRestoreSpec, status: VMRestoreStatus) -> str | None:
    if spec.target.mode == "VolumesOnly":
        return None
    if status.vm is not None:
        return status.vm.name
    return spec.target.name or (status.point.vm.name if status.point else spec.source.vm)


def _progress(progress: Progress | None, completion: datetime | None) -> str | None:
    if progress is None or completion is not None:
        return None
    left = "" if progress.eta_seconds is None else f", {readable_duration(progress.eta_seconds)} left"
    return f"{progress.percent}%{left}"


def _frozen(status: VMBackupStatus) -> str | None:
    consistency = status.consistency
    if consistency is None or consistency.frozen_millis is None:
        return None
    bound = "≤" if consistency.frozen_observation == "UpperBound" else ""
    return f"{bound}{consistency.frozen_millis}ms"


def _bytes(count: int | None) -> str | None:
    return None if count is None else readable_bytes(count)


def _duration(start: datetime | None, completion: datetime | None) -> str | None:
    if start is None or completion is None:
        return None
    return readable_duration((completion - start).total_seconds())
