"""The verb `target`: open or lay out a repository, and prove what the credentials can do."""

import threading

from safehold.engine.repository import Repository, prove_access
from safehold.report import RunReport
from safehold.run import TargetRun
from safehold.worker.folder import RunFolder
from safehold.worker.report import success


def target_run(folder: RunFolder, _stop: threading.Event) -> RunReport:
    """Carry out the folder's TargetRun.

    The repository must exist for a ReadOnly target, which is never written to, and for one that had it before: backups
    in a new one beside points that are gone would look as if all were well.
    """
    run = folder.read(TargetRun)
    store = folder.store(run.repository)
    writable = run.access_mode == "ReadWrite"
    repository = Repository.open(store, folder.key(), create=writable and run.repository_id is None)
    prove_access(store, writable=writable)
    return success(
        run,
        f"the repository {repository.id} can be {'written' if writable else 'read'}",
        repository_id=repository.id,
    )
