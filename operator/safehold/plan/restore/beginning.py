"""The beginning of a restore: judged and planned; then the plan is all that was asked for, or it goes on."""

from safehold.api.restore_plan import RestorePlan
from safehold.plan.refusal import Refusal
from safehold.plan.restore.admission import admit
from safehold.plan.restore.look import Decision, Look
from safehold.plan.restore.plan.comparison import differences
from safehold.plan.restore.plan.making import make_plan
from safehold.plan.restore.point.choice import called
from safehold.plan.restore.point.inquiry import may_pass
from safehold.plan.restore.steps import DeleteJob, Record
from safehold.reasons import Reason

PHASE = "Preparing"


def begin(look: Look) -> Decision | None:
    """Until the restore may write: then its plan, its VM and its volumes are on record."""
    if look.is_admitted:
        return None
    if look.is_planned and look.status.plan is not None:
        return _rest(look, look.status.plan)
    admission = admit(look.restore, look.point, look.seen)
    if isinstance(admission, Refusal) and (may_pass(look, admission) or admission.reason is Reason.WAITING):
        return look.waits(PHASE, admission.message, reason=admission.reason)
    plan = make_plan(look, admission)
    if look.restore.spec.dry_run:
        return look.goes_on(Record(), PHASE, "has planned what it would do", plan=plan)
    planned = look.status.plan
    if planned is not None and not planned.is_refused and planned.hash != plan.hash:
        return look.fails(_changed(planned, plan))
    if isinstance(admission, Refusal):
        return look.fails(admission, plan=plan)
    if plan.blocking:
        first = plan.blocking[0]
        return look.fails(Refusal(Reason(first.reason), first.message), plan=plan)
    return look.goes_on(
        Record(),
        PHASE,
        called(look.point),
        plan=plan,
        vm=admission.vm,
        volumes=list(admission.volumes),
        start_time=look.now,
    )


def _rest(look: Look, plan: RestorePlan) -> Decision:
    """The worker that read the manifest goes first: nothing stays of a dry run but its plan."""
    if look.seen.inquiry.job is not None:
        return look.goes_on(DeleteJob(look.seen.inquiry.job.name), PHASE, "has planned what it would do")
    if not plan.blocking:
        message = f"planned{_warnings(plan)}; set spec.dryRun to false to carry the plan out"
        return look.rests("Ready", "Planned", Reason.PLANNED, message)
    first = plan.blocking[0]
    others = len(plan.blocking) - 1
    more = f" (and {others} more conflict{'s' if others > 1 else ''} in status.plan)" if others else ""
    return look.rests("Stalled", "Planned", Reason(first.reason), f"{first.message}{more}")


def _warnings(plan: RestorePlan) -> str:
    reasons = ", ".join(dict.fromkeys(found.reason for found in plan.conflicts))
    count = len(plan.conflicts)
    return f", with {count} warning{'s' if count > 1 else ''} in status.plan ({reasons})" if count else ""


def _changed(planned: RestorePlan, present: RestorePlan) -> Refusal:
    block = f" ({present.blocking[0].message})" if present.blocking else ""
    message = (
        f"the restore would not do any more what was planned at {planned.time:%FT%TZ}: "
        f"{differences(planned, present)}{block}; create another VMRestore"
    )
    return Refusal(Reason.PLAN_CHANGED, message[:1024])
