"""Reconciles of VMRestore: observe, decide, apply the status, carry out; until there is something to wait for."""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime

from safehold.api import VMRestore
from safehold.api.vmrestore import VMRestoreStatus
from safehold.controller.complaints import under_complaint
from safehold.controller.memo import Operator
from safehold.controller.queue import Key, Reconcile
from safehold.errors import ForbiddenError, NamespaceEndingError, NotServedError, SafeholdError
from safehold.kube.events import tell_phase
from safehold.kube.finalizers import remove_finalizer
from safehold.kube.kinds import VM_RESTORE
from safehold.kube.restore.hands import RestoreHands
from safehold.kube.restore.observer import RestoreObserver
from safehold.kube.status import apply_status
from safehold.plan.refusal import Refusal
from safehold.plan.restore.look import Look
from safehold.plan.restore.reconcile import next_step
from safehold.plan.restore.steps import (
    DeleteJob,
    DeleteObject,
    DeleteRestore,
    DeleteSafetySnapshot,
    Finished,
    Record,
    RemovePair,
    StartVM,
    TakeSafetySnapshot,
    Wait,
)
from safehold.plan.restore.undo.safety import without_snapshot
from safehold.plan.restore.undo.undo import is_undo_asked
from safehold.reasons import Reason

_PASSES = 50
"""Decisions in one reconcile; more than a restore of a few disks has, and few enough that a defect cannot spin."""
_PAUSE_SECONDS = 1.0
"""After a step that others must finish, such as a deletion."""


def reconciles(operator: Operator) -> dict[str, Reconcile]:
    """The reconcile of VMRestores, by their plural."""
    observer = RestoreObserver(
        cluster=operator.cluster,
        cluster_id=operator.cluster_id,
        operator_namespace=operator.settings.operator_namespace,
        endpoint_rules=operator.endpoint_rules,
    )
    return {VM_RESTORE.plural: RestoreReconciler(operator, observer).reconcile}


@dataclass(frozen=True, slots=True)
class RestoreReconciler:
    """Everything that the reconcile of a VMRestore needs."""

    operator: Operator
    observer: RestoreObserver
    _admission: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held from looking at the other restores of a VM until this one's claim to it is in its status.

    Times are whole seconds, so two restores may each take themselves for the first; one after the other they do not.
    """

    async def reconcile(self, key: Key) -> float | None:
        """Bring one VMRestore as far as it goes now; answers when to look again."""
        for _ in range(_PASSES):
            found = await self.operator.cluster.get(VM_RESTORE, key[1], key[0])
            if found is None:
                return None
            restore = VMRestore.model_validate(found)
            async with self._admission if _is_to_be_admitted(restore) else nullcontext():
                again = await self._pass(restore)
            if again != 0:
                return again
        return self.operator.settings.poll_seconds

    async def _pass(self, restore: VMRestore) -> float | None:
        look = await self.observer.observe(restore, self.operator.now())
        decision = next_step(look)
        may_fail = not isinstance(decision.step, Record | Wait | Finished)
        begun = under_complaint(restore.status, decision.status) if may_fail else decision.status
        await self._apply(restore, begun)
        try:
            await self._hands(look).carry_out(decision.step)
        except NamespaceEndingError:
            return _PAUSE_SECONDS
        except SafeholdError as error:
            if isinstance(decision.step, TakeSafetySnapshot) and _is_final(error):
                await self._apply(restore, without_snapshot(begun, str(error)))
                return 0
            if error.retryable:
                raise
            return await self._refused(look, begun, error)
        await apply_status(self.operator.cluster, restore, begun, decision.status)
        match decision.step:
            case Finished(look_again):
                if look.deleting:
                    self.operator.released.add(look.uid)
                    await remove_finalizer(self.operator.cluster, VM_RESTORE, restore)
                    return None
                return self._seconds_until(look_again)
            case (
                Wait()
                | DeleteJob()
                | DeleteObject()
                | DeleteRestore()
                | DeleteSafetySnapshot()
                | RemovePair()
                | StartVM()
            ):
                return min(_PAUSE_SECONDS, self.operator.settings.poll_seconds)
        return 0

    def _seconds_until(self, moment: datetime | None) -> float | None:
        return None if moment is None else max(_PAUSE_SECONDS, (moment - self.operator.now()).total_seconds())

    def _hands(self, look: Look) -> RestoreHands:
        """With the rights that were asked for, except to take back what was made with them."""
        operator, namespace = self.operator, look.seen.namespace.name
        account = None if look.given_up else look.restore.spec.service_account_name
        tenant = operator.cluster.as_service_account(namespace, account) if account else operator.cluster
        pod = operator.settings.worker_pod()
        return RestoreHands(operator=operator.cluster, tenant=tenant, namespace=namespace, pod=pod)

    async def _refused(self, look: Look, status: VMRestoreStatus, error: SafeholdError) -> float | None:
        """The cluster will not take the step however often it is asked: fail and clean up, where that is possible."""
        if look.given_up or look.swap_began or look.status.completion_time is not None:
            raise error
        reason = Reason.RESTORE_NOT_ALLOWED if isinstance(error, ForbiddenError) else error.reason
        restore = look.restore.model_copy(update={"status": status})
        failing = Look(restore=restore, seen=look.seen, now=look.now).fails(Refusal(reason, str(error)))
        await self._apply(restore, failing.status)
        return 0

    async def _apply(self, restore: VMRestore, status: VMRestoreStatus) -> None:
        changed = await apply_status(self.operator.cluster, restore, restore.status, status)
        if not changed or status.phase == restore.status.phase:
            return
        await tell_phase(self.operator.cluster, restore, status, self.operator.now())


def _is_final(error: SafeholdError) -> bool:
    """Whether KubeVirt's snapshots are not there, not allowed, or refused."""
    return not error.retryable or isinstance(error, ForbiddenError | NotServedError)


def _is_to_be_admitted(restore: VMRestore) -> bool:
    """Whether its next look may give it the VM, as a restore in place or for its undo."""
    if is_undo_asked(restore):
        return restore.status.undo_start_time is None
    return (
        restore.spec.target.mode == "InPlace" and restore.status.point is not None and restore.status.start_time is None
    )
