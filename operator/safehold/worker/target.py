"""The verb `target`: open or lay out a repository, and prove what the credentials can do."""

import threading

from safehold.engine.repository import Repository, prove_access
from safehold.reasons import Reason
from safehold.run import RunReport, TargetRun
from safehold.worker.folder import RunFolder


def target_run(folder: RunFolder, _stop: threading.Event) -> RunReport:
    """Carry out the folder's TargetRun. A ReadOnly target is never written to, so its repository must exist."""
    run = folder.read(TargetRun)
    store = folder.store(run.repository)
    writable = run.access_mode == "ReadWrite"
    repository = Repository.open(store, folder.key(), create=writable)
    prove_access(store, writable=writable)
    return RunReport(
        run_id=run.run_id,
        verb=run.verb,
        succeeded=True,
        reason=Reason.SUCCEEDED,
        message=f"the repository {repository.id} can be {'written' if writable else 'read'}",
        repository_id=repository.id,
    )
