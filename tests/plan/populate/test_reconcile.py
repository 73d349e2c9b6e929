"""The steps of a claim that fills itself, decided one by one."""

from dataclasses import replace
from typing import Any

import pytest
from tests.plan.populate.objects import FAST, PRIME, facts
from tests.plan.restore.objects import SHAPE

from safehold.plan.job import JobFacts
from safehold.plan.populate.facts import CHOSEN_VOLUME, RECLAIM_POLICY, SELECTED_NODE, Orphan, PopulateFacts
from safehold.plan.populate.reconcile import next_step, remove_orphan
from safehold.plan.restore import steps
from safehold.plan.storage import ClaimRef, Volume
from safehold.reasons import Reason
from safehold.report import RunReport, VolumeReport

VOLUME = Volume(
    name="pv-1",
    uid="pv-uid",
    resource_version="7",
    shape=SHAPE,
    phase="Bound",
    reclaim_policy="Delete",
    claim=PRIME.ref,
)
RUNNING = JobFacts(name=facts().job_name, uid="job-uid")
MINE = facts().claim.ref


def job(*, run_id: str = "claim-uid", succeeded: bool = True, volume: str = "data") -> JobFacts:
    """A worker that ended with this report."""
    report = RunReport(
        run_id=run_id,
        verb="restore",
        succeeded=succeeded,
        reason="Succeeded" if succeeded else "Damaged",
        message="chunk 7 of volume data is damaged",
        volumes=[VolumeReport(name=volume, bytes_total=1)],
    )
    outcome: Any = "Complete" if succeeded else "Failed"
    return replace(RUNNING, outcome=outcome, termination_message=report.model_dump_json())


def filled(**changes: Any) -> PopulateFacts:
    """The worker is done."""
    return facts(**{"prime": PRIME, "volume": VOLUME, "job": job(), **changes})


KEPT = replace(VOLUME, reclaim_policy="Retain")
GIVEN = replace(KEPT, claim=MINE)
STEPS: list[tuple[str, PopulateFacts, type[steps.Step]]] = [
    ("asked", facts(), steps.CreateClaim),
    ("with a filling claim", facts(prime=PRIME, volume=VOLUME), steps.StartRestoreJob),
    ("claim deleted under its worker", facts(job=RUNNING), steps.DeleteJob),
    ("working", facts(prime=PRIME, volume=VOLUME, job=RUNNING), steps.Wait),
    ("without its Secret's owner", facts(prime=PRIME, job=replace(RUNNING, secret_owned=False)), steps.AdoptSecret),
    ("filled", filled(), steps.KeepVolume),
    ("kept", filled(volume=KEPT), steps.AssignVolume),
    ("given", filled(volume=GIVEN), steps.Wait),
    ("bound", filled(phase="Bound", volume=GIVEN), steps.DeleteJob),
    ("without worker", filled(phase="Bound", volume=GIVEN, job=None), steps.SetReclaimPolicy),
    ("with its policy", filled(phase="Bound", volume=replace(VOLUME, claim=MINE), job=None), steps.DeleteClaim),
    ("done", facts(phase="Bound"), steps.Finished),
]


@pytest.mark.parametrize(("seen", "step"), [(seen, step) for _, seen, step in STEPS], ids=[name for name, *_ in STEPS])
def test_one_step_after_the_other(seen: PopulateFacts, step: type[steps.Step]) -> None:
    """Each state of the cluster has one next write; the filling claim goes last."""
    decision = next_step(seen)
    assert isinstance(decision.step, step), decision
    assert not decision.is_warning


def test_the_volume_is_made_where_the_claims_pod_will_run() -> None:
    """With WaitForFirstConsumer nothing is made before the scheduler has chosen, and then on that node."""
    waiting = replace(FAST, waits_for_consumer=True)
    idle = next_step(facts(storage_class=waiting))
    assert (type(idle.step), idle.event) == (steps.Finished, None)
    placed = next_step(facts(storage_class=waiting, annotations={CHOSEN_VOLUME: "data", SELECTED_NODE: "node-1"}))
    assert isinstance(placed.step, steps.CreateClaim)
    assert placed.step.claim.annotations[SELECTED_NODE] == "node-1"


def test_the_class_that_retains_still_retains() -> None:
    """The filling claim remembers the policy, since the volume has another one meanwhile."""
    made = next_step(facts(storage_class=replace(FAST, reclaim_policy="Retain"))).step
    assert isinstance(made, steps.CreateClaim)
    assert made.claim.annotations[RECLAIM_POLICY] == "Retain"
    retaining = replace(PRIME, annotations=made.claim.annotations)
    settled = next_step(filled(phase="Bound", prime=retaining, volume=GIVEN, job=None)).step
    assert settled == steps.DeleteClaim(PRIME.ref)


@pytest.mark.parametrize(
    ("ended", "reason", "words"),
    [
        (job(succeeded=False), Reason.DAMAGED, "volume data"),
        (job(run_id="another"), Reason.REPORT_REJECTED, "another run"),
        (job(volume="root"), Reason.REPORT_REJECTED, "root"),
    ],
)
def test_what_is_not_whole_is_never_handed_over(ended: JobFacts, reason: Reason, words: str) -> None:
    """The volume goes, the claim says why, and the worker stays as the record, so that it is not tried for ever."""
    decision = next_step(filled(job=ended))
    assert decision.step == steps.DeleteClaim(PRIME.ref)
    assert decision.event == reason.value
    assert words in decision.message
    again = next_step(facts(job=ended))
    assert isinstance(again.step, steps.Finished)
    assert again.is_warning


def test_a_filling_claim_that_somebody_deleted_is_not_made_again_behind_its_worker() -> None:
    """One of its name would be empty."""
    decision = next_step(facts(job=job()))
    assert isinstance(decision.step, steps.Finished)
    assert decision.event == Reason.REPORT_REJECTED.value


@pytest.mark.parametrize(("running", "first"), [(True, steps.DeleteJob), (False, steps.DeleteClaim)])
def test_a_refusal_leaves_nothing_half_made(running: bool, first: type[steps.Step]) -> None:
    """A consent that is withdrawn, or a point that goes, ends the work and takes back what it made."""
    decision = next_step(facts(backup=None, prime=PRIME, volume=VOLUME, job=RUNNING if running else None))
    assert isinstance(decision.step, first)
    assert (decision.event, decision.is_warning) == (Reason.POINT_NOT_FOUND.value, True)


def test_a_volume_that_went_to_somebody_else_is_left_alone() -> None:
    """Whoever changed the claimRef has it; the claim says so."""
    stolen = replace(VOLUME, claim=ClaimRef("elsewhere", "thief", "x"))
    decision = next_step(filled(volume=stolen))
    assert isinstance(decision.step, steps.Finished)
    assert decision.event == Reason.CLAIM_CONFLICT.value


def test_a_claim_that_got_another_volume_costs_ours() -> None:
    """Somebody bound it by hand: what was filled goes, and nothing of the claim's is touched."""
    assert next_step(filled(phase="Bound", job=None)).step == steps.DeleteClaim(PRIME.ref)


ORPHAN = Orphan(uid="claim-uid", jobs=(), prime=PRIME, volume=GIVEN)


@pytest.mark.parametrize(
    ("orphan", "step"),
    [
        (replace(ORPHAN, jobs=("job",)), steps.DeleteJob("job")),
        (ORPHAN, steps.SetReclaimPolicy("pv-1", "pv-uid", "Delete")),
        (replace(ORPHAN, volume=replace(GIVEN, claim=ClaimRef("x", "y", "z"))), steps.DeleteClaim(PRIME.ref)),
        (replace(ORPHAN, volume=None), steps.DeleteClaim(PRIME.ref)),
        (replace(ORPHAN, prime=None, volume=None), None),
    ],
)
def test_what_a_deleted_claim_leaves_is_taken_away(orphan: Orphan, step: steps.Step | None) -> None:
    """Worker, policy, filling claim: a volume that is kept, and whose claim is gone, would stay for ever."""
    assert remove_orphan(orphan) == step
