"""The verb `forget`: take one restore point out of the catalogue."""

import threading

from safehold.engine.points.catalogue import Points
from safehold.engine.points.manifest import Manifest, Owner
from safehold.engine.repository import Repository
from safehold.errors import PointError
from safehold.reasons import Reason
from safehold.report import RunReport
from safehold.run import ForgetRun
from safehold.worker.folder import RunFolder
from safehold.worker.report import success


def forget_run(folder: RunFolder, _stop: threading.Event) -> RunReport:
    """Carry out the folder's ForgetRun. A point that is gone already is a success: the run may be a repeated one.

    PointError (Held) where the point is held in the repository.
    """
    run = folder.read(ForgetRun)
    repository = folder.repository(run.repository)
    forgotten = _forget(repository, run)
    message = f"forgot the restore point {forgotten}" if forgotten else "the restore point does not exist (any more)"
    return success(
        run,
        message,
        restore_point=forgotten,
        repository_id=repository.id,
    )


def _forget(repository: Repository, run: ForgetRun) -> str | None:
    """The id of the point that was there."""
    try:
        domain = repository.domain(run.key_domain, create=False)
        points = domain.points
        found = _find(points, run, Owner(**run.owner.model_dump()))
    except PointError as problem:
        if problem.reason is not Reason.POINT_NOT_FOUND:
            raise
        return None
    if found is None:
        return None
    domain.holds.refuse(found.point)
    points.forget(found)
    return found.point


def _find(points: Points, run: ForgetRun, owner: Owner) -> Manifest | None:
    if run.restore_point is None:
        return points.of_run(owner, run.run_id)
    return points.read_owned(run.restore_point, owner)
