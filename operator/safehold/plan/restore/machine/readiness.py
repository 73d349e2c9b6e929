"""Whether a restore in place may begin while its VM runs: KubeVirt's `targetReadinessPolicy`."""

from datetime import timedelta

from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import VMFacts
from safehold.plan.restore.look import Decision, Look
from safehold.reasons import Reason

GRACE_PERIOD = timedelta(minutes=5)
"""What KubeVirt gives a VM under WaitGracePeriod."""


def await_stopped_vm(look: Look) -> Decision | None:
    """Until the VM is off or may be stopped, and before anything of it is recorded: it may be run otherwise then."""
    policy = look.restore.spec.target.readiness_policy or "StopTarget"
    vm = look.seen.vm
    if not look.in_place or look.is_admitted or look.restore.spec.dry_run:
        return None
    if policy == "StopTarget" or vm is None or _is_off(vm):
        return None
    running = "the VM runs, and target.readinessPolicy does not allow to stop it"
    if policy == "WaitEventually":
        return look.waits("Preparing", f"{running}; waits until somebody stops it", reason=Reason.VM_RUNNING)
    since = look.restore.metadata.creation_timestamp or look.now
    if policy == "WaitGracePeriod" and look.now - since < GRACE_PERIOD:
        message = f"{running}; stop it until {since + GRACE_PERIOD:%FT%TZ}"
        return look.waits("Preparing", message, reason=Reason.VM_RUNNING)
    return look.fails(Refusal(Reason.VM_RUNNING, f"{running}; stop it and restore again"))


def _is_off(vm: VMFacts) -> bool:
    """Whether nothing of it runs, nor is about to."""
    return not vm.is_active and vm.run_strategy != "Always"
