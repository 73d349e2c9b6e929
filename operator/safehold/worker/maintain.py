"""The verb `maintain`: forget what retention lets go, then free what no point needs any more."""

import threading

from safehold.engine.maintenance.compaction import compact
from safehold.engine.maintenance.prune import prune
from safehold.engine.repository import Domain
from safehold.errors import InterruptedRunError, StoreError
from safehold.reasons import Reason
from safehold.report import MaintenanceReport, RunReport
from safehold.run import MaintainRun
from safehold.worker.folder import RunFolder
from safehold.worker.lines import write_line
from safehold.worker.report import success
from safehold.worker.retention import Keeper


def maintain_run(folder: RunFolder, stop: threading.Event) -> RunReport:
    """Carry out the folder's MaintainRun. It may be killed anywhere; what is left to do, the next one does."""
    run = folder.read(MaintainRun)
    repository = folder.repository(run.repository)
    if repository.id != run.repository_id:
        raise StoreError(
            "The bucket holds another repository, so nothing was forgotten",
            expected=run.repository_id,
            found=repository.id,
            reason=Reason.REPOSITORY_CHANGED,
        )
    domains = [repository.domain(name, create=False) for name in repository.domains()]
    keeper = Keeper(run, stop)
    for domain in domains:
        keeper.tidy(domain)
    freed = condemned = 0
    for domain in domains:
        freed_here, condemned_here = _free(domain, stop, sparse_too=run.compact)
        freed += freed_here
        condemned += condemned_here
    for line in keeper.lines():
        write_line(line)
    found = keeper.report(freed, condemned)
    return success(
        run,
        _sentence(found),
        repository_id=repository.id,
        maintenance=found,
    )


def _free(domain: Domain, stop: threading.Event, *, sparse_too: bool) -> tuple[int, int]:
    """Bytes that were deleted, and bytes that will be: the two phases of `docs/format.md`, section 9."""
    _refuse_stopped(stop)
    pruned = prune(domain)
    if sparse_too:
        _refuse_stopped(stop)
        compact(domain)
    return pruned.swept_bytes + pruned.leftover_bytes, pruned.condemned_bytes


def _refuse_stopped(stop: threading.Event) -> None:
    if stop.is_set():
        raise InterruptedRunError("The maintenance was told to stop; the next one goes on where it ended")


def _sentence(found: MaintenanceReport) -> str:
    return (
        f"forgot {found.forgotten} restore points of {found.points + found.forgotten}, "
        f"deleted {found.freed_bytes} bytes, condemned {found.condemned_bytes}"
    )
