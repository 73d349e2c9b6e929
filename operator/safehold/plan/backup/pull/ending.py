"""How a run that pulled ends: before KubeVirt's backup goes, the tracker is told what the restore point holds."""

from safehold.plan.backup.pull.steps import CommitCheckpoint
from safehold.plan.backup.run import Run


def commit_checkpoint(run: Run) -> CommitCheckpoint | None:
    """What to tell the tracker: that its next checkpoint is the complete point's. None if there is nothing to tell."""
    pull, facts = run.status.pull, run.facts.pull
    if pull is None or facts is None or facts.tracker is None or not run.status.restore_point:
        return None
    if not pull.checkpoint or facts.tracker.committed == pull.checkpoint:
        return None
    return CommitCheckpoint(
        namespace=run.namespace,
        tracker=facts.tracker.name,
        tracker_uid=facts.tracker.uid,
        checkpoint=pull.checkpoint,
        instance_uid=pull.instance_uid or "",
    )
