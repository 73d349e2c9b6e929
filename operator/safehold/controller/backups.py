"""Reconciles of VMBackup: observe, decide, apply the status, carry out; until there is something to wait for."""

from dataclasses import dataclass, field, replace
from datetime import timedelta

from safehold.api.references import TargetRef
from safehold.api.vmbackup import VMBackup, VMBackupStatus
from safehold.controller.backup_watch import is_unsettled
from safehold.controller.complaints import under_complaint
from safehold.controller.freezing import FreezeSlots
from safehold.controller.memo import Operator
from safehold.controller.metrics import Metrics
from safehold.controller.queue import Key
from safehold.controller.settings import ControllerSettings
from safehold.controller.turns import Turns
from safehold.errors import SafeholdError
from safehold.kube.backup.hands import BackupHands
from safehold.kube.backup.observer import BackupObserver
from safehold.kube.client import Manifest
from safehold.kube.events import emit, tell_phase
from safehold.kube.finalizers import add_finalizer, has_finalizer, remove_finalizer
from safehold.kube.kinds import VM_BACKUP
from safehold.kube.status import apply_status
from safehold.plan.backup.facts import BackupFacts
from safehold.plan.backup.freezing import freeze_claim
from safehold.plan.backup.reconcile import after_refused_step, needs_slot, next_step
from safehold.plan.backup.run import BackupRules, Decision
from safehold.plan.backup.stages import stage_of
from safehold.plan.backup.steps import Step
from safehold.plan.backup.turn import claim_of, limits_of, target_pool, wait_unseen, waits_unseen
from safehold.plan.backup.verification import describe_lies, lies
from safehold.plan.conditions import is_finished
from safehold.plan.refusal import Refusal
from safehold.plan.target.use import AnyTarget, TargetFacts
from safehold.reasons import Reason

_PASSES = 50
"""Decisions in one reconcile; far more than a run has, so that a defect cannot spin."""
LOOKS_PER_SECOND = 5
"""How many runs are polled in a second at most: each look is some ten requests."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupReconciler:
    """Everything that the reconcile of a VMBackup needs."""

    operator: Operator
    observer: BackupObserver
    hands: BackupHands
    turns: Turns
    freezing: FreezeSlots
    rules: BackupRules
    metrics: Metrics = field(default_factory=Metrics)

    async def reconcile(self, key: Key) -> float | None:
        """Bring one VMBackup as far as it goes now; answers when to look again."""
        for _ in range(_PASSES):
            found = await self.operator.cluster.get(VM_BACKUP, key[1], key[0])
            if found is None:
                self._give(key)
                return None
            backup = VMBackup.model_validate(found)
            if backup.metadata.uid in self.operator.released:
                # It is as good as gone; another look, now that the Job is removed, would forget its point once more.
                self._give(key)
                await remove_finalizer(self.operator.cluster, VM_BACKUP, backup)
                return None
            if is_unsettled(found):
                await self._settle(found, backup)
                continue
            if waits_unseen(backup) and not self.turns.may_look(key, claim_of(backup)):
                queued = wait_unseen(backup, self.rules, self.operator.now())
                await apply_status(self.operator.cluster, backup, backup.status, queued.status)
                return None
            decision = await self._pass(key, backup)
            if decision.again != 0:
                return paced(decision.again, self._polled())
        return self.rules.poll_seconds

    def waits_in_line(self, found: Manifest) -> bool:
        """Whether a VMBackup, as it was read, says that it waits, and will be called when its turn comes."""
        metadata = found["metadata"]
        if (metadata["namespace"], metadata["name"]) not in self.turns.queue.waiting:
            return False
        backup = VMBackup.model_validate(found)
        return backup.status.phase == "Pending" and waits_unseen(backup)

    def heed(self, target: AnyTarget) -> None:
        """Let limits of a target that were raised take effect at once."""
        metadata, spec = target.metadata, target.spec
        reference = TargetRef.model_validate({"kind": target.kind, "name": metadata.name})
        self.turns.heed({target_pool(reference, metadata.namespace or ""): spec.max_active_runs})
        self.freezing.heed(metadata.uid, spec.max_frozen_vms)

    def _polled(self) -> int:
        """How many runs are looked at again and again: of those that wait for their turn each look is one request."""
        queue = self.operator.queues.get(VM_BACKUP.plural)
        return queue.at_work(besides=self.turns.queue.waiting) if queue else 0

    async def _pass(self, key: Key, backup: VMBackup) -> Decision:
        facts, now = await self._observe(key, backup), self.operator.now()
        if needs_slot(backup, facts, now):
            claim, limits = claim_of(backup, facts), limits_of(backup, facts, self.rules)
            active = backup.status.start_time is not None
            facts = replace(facts, slot=self.turns.take(key, claim, limits, active=active))
        else:
            self.turns.give(key)
        facts = replace(facts, may_freeze=self._may_freeze(key, backup, facts))
        decision = next_step(backup, facts, self.rules, now)
        begun = under_complaint(backup.status, decision.status) if decision.steps else decision.status
        await self._apply(backup, begun, decision)
        for step in decision.steps:
            try:
                await self.hands.carry_out(step)
            except SafeholdError as error:
                if error.retryable or stage_of(backup) in ("Ending", "Finished"):
                    raise
                # The cluster will not take the step however often it is asked: the run fails, or does without it.
                return await self._give_up(backup, decision, step, error)
        await apply_status(self.operator.cluster, backup, begun, decision.status)
        if decision.released:
            self.operator.released.add(backup.metadata.uid)
            await remove_finalizer(self.operator.cluster, VM_BACKUP, backup)
        if is_finished(decision.status.conditions):
            self.turns.give(key)
            # What was read says that the run goes on; once it has ended, only these make the object stay.
            stays = backup.spec.hold or backup.spec.deletion_policy == "Delete"
            if not stays and backup.metadata.deletion_timestamp is None:
                await remove_finalizer(self.operator.cluster, VM_BACKUP, backup)
        return decision

    async def _settle(self, found: Manifest, backup: VMBackup) -> None:
        if has_finalizer(found):
            await remove_finalizer(self.operator.cluster, VM_BACKUP, backup)
        else:
            await add_finalizer(self.operator.cluster, VM_BACKUP, found)

    def _give(self, key: Key) -> None:
        self.turns.give(key)
        self.freezing.give(key)

    async def _observe(self, key: Key, backup: VMBackup) -> BackupFacts:
        try:
            return await self.observer.observe(backup)
        except SafeholdError:
            if backup.status.start_time is None:
                # Its turn may come again; until then it must not keep others from theirs.
                self.turns.give(key)
            raise

    def _may_freeze(self, key: Key, backup: VMBackup, facts: BackupFacts) -> bool:
        recorded = backup.status.target
        if recorded is None:
            return True
        limit = facts.target.max_frozen_vms if isinstance(facts.target, TargetFacts) else None
        claim = freeze_claim(backup, facts)
        return self.freezing.settle(key, claim, target_uid=recorded.uid, limit=limit)

    async def _give_up(self, backup: VMBackup, decision: Decision, step: Step, error: SafeholdError) -> Decision:
        refusal = Refusal(error.reason, str(error))
        status = after_refused_step(backup, decision.status, step, refusal)
        await apply_status(self.operator.cluster, backup, decision.status, status)
        return Decision(status=status)

    async def _apply(self, backup: VMBackup, begun: VMBackupStatus, decision: Decision) -> None:
        status = decision.status
        if not await apply_status(self.operator.cluster, backup, backup.status, begun):
            return
        self.metrics.record(backup, decision)
        await self._tell_lies(backup, status)
        if status.phase == backup.status.phase:
            return
        await tell_phase(self.operator.cluster, backup, status, self.operator.now())

    async def _tell_lies(self, backup: VMBackup, status: VMBackupStatus) -> None:
        """Once per run, when its report comes in."""
        wrong = lies(status.volumes)
        if not wrong or backup.status.restore_point:
            return
        self.metrics.record_lies(backup, wrong)
        reason, message = Reason.CHANGED_BLOCKS_LIED, describe_lies(wrong)
        now = self.operator.now()
        await emit(self.operator.cluster, backup, reason=reason, message=message, warning=True, now=now)


def paced(seconds: float | None, polled: int) -> float | None:
    """When to look again where so many runs are polled: what matters most, events tell meanwhile."""
    return None if seconds is None else max(seconds, polled / LOOKS_PER_SECOND)


def backup_rules(settings: ControllerSettings, cluster_id: str) -> BackupRules:
    """What the settings say about decisions."""
    return BackupRules(
        operator_namespace=settings.operator_namespace,
        cluster_id=cluster_id,
        prepare_timeout=timedelta(seconds=settings.prepare_timeout_seconds),
        poll_seconds=settings.poll_seconds,
        clone_storage_class=settings.clone_storage_class,
        scratch_storage_class=settings.scratch_storage_class,
        pull_timeout=timedelta(seconds=settings.pull_timeout_seconds),
        base_max_age=timedelta(seconds=settings.base_max_age_seconds),
        max_active_runs_per_node=settings.max_active_runs_per_node,
        max_active_runs_by_storage_class=settings.max_active_runs_by_storage_class,
    )
