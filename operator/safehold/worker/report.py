"""The Job's report: a termination message that fits."""

from pathlib import Path

from safehold.run import REPORT_LIMIT_BYTES, RunReport

_ELLIPSIS = "…"


def write_report(report: RunReport, path: Path) -> None:
    """Leave the report where the kubelet looks for it; what is too long for the limit is its sentences."""
    path.write_text(fitting(report), encoding="utf-8")


def fitting(report: RunReport) -> str:
    """The report as JSON of less than REPORT_LIMIT_BYTES."""
    text = report.model_dump_json(exclude_defaults=True)
    excess = len(text.encode()) - REPORT_LIMIT_BYTES + 1
    if excess > 0 and report.message:
        shorter = report.message.encode()[: -excess - len(_ELLIPSIS.encode())].decode(errors="ignore")
        return fitting(report.model_copy(update={"message": shorter.rstrip(_ELLIPSIS) + _ELLIPSIS * bool(shorter)}))
    if excess > 0 and any(volume.engine_reason for volume in report.volumes):
        volumes = [volume.model_copy(update={"engine_reason": ""}) for volume in report.volumes]
        return fitting(report.model_copy(update={"volumes": volumes}))
    return text
