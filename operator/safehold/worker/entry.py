"""The edge of the worker: signals, logging, the clock, and the report on every way out."""

import json
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Literal

from safehold import logs
from safehold.errors import SafeholdError
from safehold.reasons import Reason
from safehold.report import EXIT_FAILED, EXIT_REFUSED, RunReport
from safehold.run import RUN_FILE, RUN_FOLDER
from safehold.settings import WorkerSettings
from safehold.worker.backup import back_up_run
from safehold.worker.describe import describe_run
from safehold.worker.folder import RunFolder
from safehold.worker.forget import forget_run
from safehold.worker.maintain import maintain_run
from safehold.worker.report import write_report
from safehold.worker.restore import restore_run
from safehold.worker.target import target_run

Verb = Literal["backup", "restore", "target", "forget", "maintain", "describe"]
VERBS: dict[Verb, Callable[[RunFolder, threading.Event], RunReport]] = {
    "backup": back_up_run,
    "restore": restore_run,
    "target": target_run,
    "forget": forget_run,
    "maintain": maintain_run,
    "describe": describe_run,
}
_log = logging.getLogger(__name__)


def run_worker(verb: Verb, settings: WorkerSettings) -> int:
    """Carry out the run in the folder; returns the process's exit code. There is a report in any case.

    0: done. EXIT_REFUSED: no attempt can succeed. EXIT_FAILED: another one may.
    """
    folder = RunFolder(settings.run_folder or Path(RUN_FOLDER))
    run_id = _run_id(folder)
    logs.configure(settings.log_level, run=run_id, verb=verb)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    started = monotonic()
    _log.info("The run begins")
    report, exit_code = _reported(verb, folder, stop, run_id)
    report = report.model_copy(update={"seconds": round(monotonic() - started, 3)})
    _log.log(logging.INFO if report.succeeded else logging.ERROR, "The run ends: %s", report.message)
    write_report(report, settings.termination_log)
    return exit_code


def _reported(verb: Verb, folder: RunFolder, stop: threading.Event, run_id: str) -> tuple[RunReport, int]:
    try:
        return VERBS[verb](folder, stop), 0
    except SafeholdError as problem:
        reason, message = problem.reason, str(problem)
        # A disk that cannot be read or written on one node may be fine on another.
        exit_code = EXIT_FAILED if problem.retryable or reason is Reason.VOLUME_ERROR else EXIT_REFUSED
        _log.debug("What led to it", exc_info=True)
    except Exception as problem:  # noqa: BLE001 - the process's edge: a defect must be reported too
        reason, message = Reason.INTERNAL_ERROR, f"The worker failed unexpectedly: {type(problem).__name__}"
        exit_code = EXIT_FAILED
        _log.exception("The worker failed unexpectedly")
    return RunReport(run_id=run_id, verb=verb, succeeded=False, reason=reason, message=message), exit_code


def _run_id(folder: RunFolder) -> str:
    """The id that the report must carry, even where the rest of the run cannot be read."""
    try:
        return str(json.loads((folder.path / RUN_FILE).read_bytes())["run_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
