"""Stopping the VM in place, and running it, or the new one, as it should be run."""

from datetime import timedelta

from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import VMFacts
from safehold.plan.restore.look import Decision, Look, Mark
from safehold.plan.restore.steps import SetRunStrategy, StartVM, Step, Wait
from safehold.reasons import Reason

STOP_PATIENCE = timedelta(minutes=15)
"""How long a VM may take to stop. KubeVirt's default grace period is 3 minutes; then it pulls the plug."""
HALTED = "Halted"


def stop_vm(look: Look) -> Decision | None:
    """In place: until nothing of the VM runs. It is stopped again if somebody starts it before its volumes are back."""
    if not look.in_place or look.all_are(Mark.DONE):
        return None
    vm = look.seen.vm
    if vm is None or not look.has_vm:
        return None if look.swap_began else look.fails(_vanished(look))
    if _was_started(look, vm):
        message = "somebody started the VM while it is restored, and target.readinessPolicy does not allow to stop it"
        return look.fails(Refusal(Reason.VM_RUNNING, f"{message}; nothing of it was changed, restore again"))
    step = _change(look, vm, HALTED)
    if step is not None:
        again = look.status.phase not in (None, "Preparing", "Stopping", "Undoing")
        message = "somebody started the VM while it is restored; stops it again" if again else "stops the VM"
        return look.goes_on(step, "Stopping", message)
    if not vm.is_active:
        waiting = f"waits for VirtualMachineSnapshot {vm.snapshot}, which reads the volumes"
        return look.waits("Stopping", waiting) if vm.snapshot and not look.swap_began else None
    began = look.status.undo_start_time or look.status.start_time or look.now
    if not look.swap_began and look.now - began > STOP_PATIENCE:
        message = (
            f"the VM did not stop within {STOP_PATIENCE.total_seconds() / 60:.0f} minutes; stop it and restore again"
        )
        return look.fails(Refusal(Reason.TIMED_OUT, message))
    return look.waits("Stopping", "waits until the VM has shut down")


def _was_started(look: Look, vm: VMFacts) -> bool:
    """Whether the VM, which had to be off at the beginning, runs, and can still be left alone."""
    may_stop = (look.restore.spec.target.readiness_policy or "StopTarget") == "StopTarget"
    return not may_stop and vm.is_active and not look.swap_began and look.status.undo_start_time is None


def start_vm(look: Look) -> Decision | None:
    """Until the VM is run as it was before, or as a new one was asked to be run."""
    if look.volumes_only:
        return None
    vm = look.seen.vm
    if vm is None:
        return None if look.in_place else look.fails(_vanished(look))
    step = run_as_before(look) if look.in_place else _change(look, vm, _wanted_strategy(look))
    return None if step is None else look.goes_on(step, "Starting", "starts the VM")


def run_as_before(look: Look) -> Step | None:
    """The step that lets the VM run as it did when the restore began; None when it does."""
    vm, before = look.seen.vm, look.status.vm
    if vm is None or before is None or before.original_run_strategy is None or vm.uid != before.uid:
        return None
    step = _change(look, vm, before.original_run_strategy)
    if step is None and before.original_run_strategy == "Manual" and before.was_running and not vm.is_running:
        return StartVM(before.name)
    return step


def _change(look: Look, vm: VMFacts, strategy: str) -> Step | None:
    if vm.run_strategy == strategy:
        return None
    if vm.snapshot:
        return Wait(f"VirtualMachineSnapshot {vm.snapshot} is being taken; KubeVirt changes the run strategy after it")
    assert look.status.vm is not None
    return SetRunStrategy(look.status.vm.name, vm.uid, strategy)


def _wanted_strategy(look: Look) -> str:
    asked = look.restore.spec.run_strategy or "AsBackedUp"
    recorded = look.status.vm.original_run_strategy if look.status.vm else None
    return recorded or HALTED if asked == "AsBackedUp" else asked


def _vanished(look: Look) -> Refusal:
    name = look.status.vm.name if look.status.vm else look.restore.spec.target.name
    if look.status.undo_start_time is not None:
        message = f"somebody deleted VM {name} during its undo; none of its claims was changed"
    else:
        message = f"somebody deleted VM {name} during the restore; restore again with mode NewVM"
    return Refusal(Reason.VM_NOT_FOUND, message)
