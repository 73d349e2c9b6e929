"""The Job's report: a termination message that fits, and in the log what does not fit into it."""

from pathlib import Path
from typing import TextIO

from safehold.description import DescribeRun
from safehold.reasons import Reason
from safehold.report import REPORT_LIMIT_BYTES, MaintenanceReport, RunReport, VolumeLine, VolumeReport
from safehold.run import BackupRun, ForgetRun, MaintainRun, RestoreRun, TargetRun
from safehold.worker.lines import write_line

Run = BackupRun | RestoreRun | TargetRun | ForgetRun | MaintainRun | DescribeRun
_ELLIPSIS = "…"


def success(
    run: Run,
    message: str,
    *,
    repository_id: str,
    restore_point: str | None = None,
    parent: str | None = None,
    volumes: list[VolumeReport] | None = None,
    maintenance: MaintenanceReport | None = None,
) -> RunReport:
    """The report of a run that has done all that it was asked."""
    return RunReport(
        run_id=run.run_id,
        verb=run.verb,
        succeeded=True,
        reason=Reason.SUCCEEDED,
        message=message,
        restore_point=restore_point,
        parent=parent,
        volumes=volumes or [],
        repository_id=repository_id,
        maintenance=maintenance,
    )


def write_report(report: RunReport, path: Path, output: TextIO | None = None) -> None:
    """Leave the report where the kubelet looks for it; volumes that are too many for it are the log's last lines.

    Each has a line of its own, since container runtimes break lines of more than 16 KiB.
    """
    if _has_too_many_volumes(report):
        for volume in report.volumes:
            write_line(VolumeLine(run_id=report.run_id, volume=volume), output)
    path.write_text(fitting(report), encoding="utf-8")


def fitting(report: RunReport) -> str:
    """The report as JSON of less than REPORT_LIMIT_BYTES: without volumes that are too many, with shorter sentences."""
    if _has_too_many_volumes(report):
        return fitting(report.model_copy(update={"volumes": [], "volumes_in_log": len(report.volumes)}))
    excess = _excess(report)
    if excess > 0 and report.message:
        shorter = report.message.encode()[: -excess - len(_ELLIPSIS.encode())].decode(errors="ignore")
        return fitting(report.model_copy(update={"message": shorter.rstrip(_ELLIPSIS) + _ELLIPSIS * bool(shorter)}))
    if excess > 0:
        return fitting(_without_reasons(report))
    return report.model_dump_json(exclude_defaults=True)


def _has_too_many_volumes(report: RunReport) -> bool:
    """Whether even their numbers alone do not fit."""
    return bool(report.volumes) and _excess(_without_reasons(report.model_copy(update={"message": ""}))) > 0


def _without_reasons(report: RunReport) -> RunReport:
    volumes = [volume.model_copy(update={"engine_reason": ""}) for volume in report.volumes]
    return report.model_copy(update={"volumes": volumes})


def _excess(report: RunReport) -> int:
    return len(report.model_dump_json(exclude_defaults=True).encode()) - REPORT_LIMIT_BYTES + 1
