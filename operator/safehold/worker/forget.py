"""The verb `forget`: take one restore point out of the catalogue."""

import threading

from safehold.engine.manifest import Owner
from safehold.engine.repository import Repository
from safehold.errors import PointError
from safehold.reasons import Reason
from safehold.run import ForgetRun, RunReport
from safehold.worker.folder import RunFolder


def forget_run(folder: RunFolder, _stop: threading.Event) -> RunReport:
    """Carry out the folder's ForgetRun. A point that is gone already is a success: the run may be a repeated one."""
    run = folder.read(ForgetRun)
    repository = Repository.open(folder.store(run.repository), folder.key(), create=False)
    message = f"forgot the restore point {run.restore_point}"
    try:
        domain = repository.domain(run.key_domain, create=False)
        domain.points.forget(domain.points.read_owned(run.restore_point, Owner(**run.owner.model_dump())))
    except PointError as problem:
        if problem.reason is not Reason.POINT_NOT_FOUND:
            raise
        message = f"the restore point {run.restore_point} does not exist (any more)"
    return RunReport(
        run_id=run.run_id,
        verb=run.verb,
        succeeded=True,
        reason=Reason.SUCCEEDED,
        message=message,
        restore_point=run.restore_point,
        repository_id=repository.id,
    )
