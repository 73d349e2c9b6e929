"""Which answers of a worker Job are believed, and what is said of one that gives none."""

from datetime import UTC, datetime, timedelta

import pytest

from safehold.plan.job import NODE_PATIENCE, JobFacts, PodFacts, read_report, refuse_lost_node
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SILENT = [
    (JobFacts(name="j", uid="u", outcome="Failed", memory_limit="512Mi"), Reason.JOB_FAILED, "limit of 512Mi"),
    (
        JobFacts(name="j", uid="u", outcome="Failed", failure="DeadlineExceeded: Job was active longer than deadline"),
        Reason.TIMED_OUT,
        "DeadlineExceeded",
    ),
    (JobFacts(name="j", uid="u", outcome="Failed"), Reason.JOB_FAILED, "its log says more"),
]


@pytest.mark.parametrize(("job", "reason", "words"), SILENT, ids=["memory", "deadline", "nothing"])
def test_a_job_without_a_report_says_what_is_known(job: JobFacts, reason: Reason, words: str) -> None:
    """A worker that was killed for its memory is told with the limit that it hit, one that was too slow as such."""
    refusal = read_report(job, run_id="r", verb="backup")
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert words in refusal.message


@pytest.mark.parametrize(
    ("overdue", "lost"),
    [(None, False), (timedelta(), False), (NODE_PATIENCE, False), (NODE_PATIENCE + timedelta(seconds=1), True)],
)
def test_a_pod_that_should_be_gone_for_minutes_is_on_a_lost_node(overdue: timedelta | None, lost: bool) -> None:
    """Nobody else may say that it has ended, so its node is named, and what can be done."""
    pod = PodFacts(name="worker-1", node="node-7", due_gone=None if overdue is None else NOW - overdue)
    refusal = refuse_lost_node([PodFacts(name="worker-2", node="node-8"), pod], NOW)
    assert (refusal is not None) == lost
    if refusal is not None:
        assert refusal.reason is Reason.NODE_LOST
        assert "node-7" in refusal.message
        assert "worker-1" in refusal.message
