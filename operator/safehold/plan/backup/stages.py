"""How far a run is, as its status says."""

from typing import Literal

from safehold.api.vmbackup import VMBackup

Stage = Literal["Beginning", "Capturing", "Preparing", "Ending", "Finished"]


def stage_of(backup: VMBackup) -> Stage:
    """How far the status says that the run is; it decides which facts are needed."""
    status = backup.status
    if status.completion_time is not None:
        return "Finished"
    if status.failure or status.restore_point:
        return "Ending"
    if status.start_time is None:
        return "Beginning"
    return "Preparing" if status.consistency else "Capturing"
