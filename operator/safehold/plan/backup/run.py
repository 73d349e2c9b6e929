"""One look at a VMBackup: what is known, and the shapes of what may be decided."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from safehold.api.base import Failure
from safehold.api.vmbackup import VMBackup, VMBackupStatus
from safehold.plan.backup.facts import BackupFacts
from safehold.plan.backup.steps import Step
from safehold.plan.conditions import State, conditions_for
from safehold.plan.names import owner_labels
from safehold.plan.refusal import Refusal
from safehold.plan.summary import summarize_backup
from safehold.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRules:
    """The operator's settings that decisions depend on."""

    operator_namespace: str
    cluster_id: str
    prepare_timeout: timedelta
    poll_seconds: float
    clone_storage_class: str | None = None
    scratch_storage_class: str | None = None
    pull_timeout: timedelta = timedelta(hours=6)
    base_max_age: timedelta = timedelta(days=8)
    """How long a snapshot is kept to ask what changed since; nothing: none is kept."""
    max_active_runs_per_node: int | None = None
    max_active_runs_by_storage_class: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The status to apply first, then the steps to carry out, and when to look again.

    The status comes first because it records what the steps touch. `again` is None when only an event can bring news,
    0 to look again at once. `released` lets an object in deletion go.
    """

    status: VMBackupStatus
    steps: tuple[Step, ...] = ()
    again: float | None = 0.0
    released: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A VMBackup together with what was observed, and when."""

    backup: VMBackup
    facts: BackupFacts
    rules: BackupRules
    now: datetime

    @property
    def status(self) -> VMBackupStatus:
        """The status as it was read."""
        return self.backup.status

    @property
    def namespace(self) -> str:
        """The VM's namespace."""
        return self.backup.metadata.namespace or ""

    @property
    def uid(self) -> str:
        """The VMBackup's uid; it is also the id of the worker's run."""
        return self.backup.metadata.uid

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted the VMBackup."""
        return self.backup.metadata.deletion_timestamp is not None

    @property
    def labels(self) -> dict[str, str]:
        """What all children carry."""
        metadata = self.backup.metadata
        return owner_labels(
            "VMBackup", self.uid, name=metadata.name, namespace=self.namespace, vm=self.backup.spec.vm.name
        )

    @property
    def freeze_limit(self) -> timedelta:
        """How long KubeVirt may take from the snapshot's creation to its cut; at its end it thaws by itself."""
        return self.backup.spec.consistency.freeze_limit

    @property
    def is_late(self) -> bool:
        """Whether the worker should have begun: the snapshot may take one prepare timeout, its volumes another."""
        dump = self.status.memory_dump
        begun = dump.end_time if dump and dump.end_time else self.status.capture_time
        return self.since(begun) > 2 * self.rules.prepare_timeout

    def with_status(self, status: VMBackupStatus) -> "Run":
        """The same look, a decision further."""
        return replace(self, backup=self.backup.model_copy(update={"status": status}))

    def since(self, moment: datetime | None) -> timedelta:
        """How long ago; nothing for a moment that is not known."""
        return self.now - moment if moment else timedelta()

    def goes_on(
        self,
        phase: str,
        message: str,
        *steps: Step,
        reason: Reason = Reason.RUNNING,
        again: float | None = 0.0,
        **changes: Any,
    ) -> Decision:
        """Work is under way, or waits for something that comes by itself."""
        return Decision(status=self._with("InProgress", phase, reason, message, changes), steps=steps, again=again)

    def waits(self, phase: str, message: str, **changes: Any) -> Decision:
        """Others must finish something first; it is polled for."""
        return self.goes_on(phase, message, reason=Reason.WAITING, again=self.rules.poll_seconds, **changes)

    def fails(self, refusal: Refusal, **changes: Any) -> Decision:
        """Record why; the next look cleans up. A failure is final: the policy's next run makes a new VMBackup."""
        failure = Failure(reason=refusal.reason.value, message=refusal.message[:1024])
        return self.goes_on("CleaningUp", refusal.message, reason=refusal.reason, failure=failure, **changes)

    def ends(self, state: State, phase: str, reason: Reason, message: str, **changes: Any) -> Decision:
        """Nothing goes on any more."""
        return Decision(status=self._with(state, phase, reason, message, changes), again=None)

    def _with(self, state: State, phase: str, reason: Reason, message: str, changes: dict[str, Any]) -> VMBackupStatus:
        generation = self.backup.metadata.generation
        conditions = conditions_for(
            state, self.status.conditions, generation=generation, now=self.now, reason=reason, message=message
        )
        common = {"observed_generation": generation, "phase": phase, "conditions": conditions}
        status = self.status.model_copy(update={**common, **changes})
        return status.model_copy(update={"summary": summarize_backup(status)})
