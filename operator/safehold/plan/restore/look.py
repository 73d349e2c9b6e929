"""One look at a VMRestore: what is known, and the shapes of what may be decided."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from safehold.api import Failure, VMRestore
from safehold.api.restore_point import RestorePoint
from safehold.api.restored_volumes import VolumeRestore
from safehold.api.vmrestore import VMRestoreStatus
from safehold.plan.conditions import State, conditions_for, is_finished
from safehold.plan.names import owner_labels
from safehold.plan.refusal import Refusal
from safehold.plan.restore.facts import ObservedRestore
from safehold.plan.restore.steps import Finished, Record, Step, Wait
from safehold.plan.restore.volumes.handover import Place, SeenVolume, is_given_back, is_replaced
from safehold.plan.summary import summarize_restore
from safehold.reasons import Reason


class Mark(StrEnum):
    """How far one volume is, as its record says; none before the worker verified it."""

    VERIFIED = "Verified"
    HANDING_OVER = "HandingOver"
    DONE = "Done"
    UNDOING = "Undoing"
    UNDONE = "Undone"


@dataclass(frozen=True, slots=True)
class Decision:
    """The status to apply first, since it records what the step touches, and the step to carry out then."""

    step: Step
    status: VMRestoreStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """A VMRestore together with what was observed, and when."""

    restore: VMRestore
    seen: ObservedRestore
    now: datetime

    @property
    def status(self) -> VMRestoreStatus:
        """The status as it was read."""
        return self.restore.status

    @property
    def uid(self) -> str:
        """The VMRestore's uid; it is also the id of the worker's run."""
        return self.restore.metadata.uid

    @property
    def labels(self) -> dict[str, str]:
        """What all children in the operator's namespace carry."""
        metadata = self.restore.metadata
        return owner_labels("VMRestore", self.uid, name=metadata.name, namespace=metadata.namespace)

    @property
    def point(self) -> RestorePoint:
        """The chosen restore point, once there is one."""
        assert self.status.point is not None
        return self.status.point

    @property
    def is_admitted(self) -> bool:
        """Whether it was judged and may write; what it will write to is in its record."""
        return self.status.start_time is not None

    @property
    def is_planned(self) -> bool:
        """Whether it is a dry run whose plan is on record."""
        return self.restore.spec.dry_run and self.status.plan is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do: it came to its end, or it is a dry run that is planned."""
        only_planned = self.status.plan is not None and not self.is_admitted and self.status.completion_time is None
        goes_on = only_planned and not self.restore.spec.dry_run
        return is_finished(self.status.conditions) and not goes_on

    @property
    def in_place(self) -> bool:
        """Whether the VM keeps its definition and gets its volumes back."""
        return self.restore.spec.target.mode == "InPlace"

    @property
    def volumes_only(self) -> bool:
        """Whether claims are created, and no VM."""
        return self.restore.spec.target.mode == "VolumesOnly"

    @property
    def deleting(self) -> bool:
        """Whether somebody deleted the VMRestore."""
        return self.restore.metadata.deletion_timestamp is not None

    @property
    def has_vm(self) -> bool:
        """Whether the VM that the record names is still there."""
        vm, recorded = self.seen.vm, self.status.vm
        return vm is not None and recorded is not None and recorded.uid in (None, vm.uid)

    @property
    def swap_began(self) -> bool:
        """Whether a volume of the VM has been replaced already: from then on restore or undo only go forward."""
        if self.status.undo_start_time is not None:
            undoing = [record for record in self.status.volumes if record.step == Mark.UNDOING]
            return any(is_given_back(record, self.volume(record)) for record in undoing)
        return self.in_place and any(is_replaced(record, self.volume(record)) for record in self.status.volumes)

    @property
    def given_up(self) -> Refusal | None:
        """Why everything is taken back; None while the restore goes forward."""
        failure = self.status.failure
        if failure is not None:
            return Refusal(Reason(failure.reason), failure.message)
        if self.seen.namespace_ending:
            return Refusal(Reason.CANCELLED, f"namespace {self.seen.namespace.name} is being deleted")
        if self.deleting and not self.swap_began:
            return Refusal(Reason.CANCELLED, "the VMRestore was deleted")
        return None

    @property
    def place(self) -> Place:
        """Between which namespaces volumes move."""
        return Place(
            restore_uid=self.uid,
            operator_namespace=self.seen.operator_namespace,
            namespace=self.seen.namespace.name,
            labels=self.restore.spec.labels or {},
            vm=self.status.vm.name if self.status.vm else "",
            adopts=self.restore.spec.target.claim_names == "AsBackedUp",
        )

    def volume(self, record: VolumeRestore) -> SeenVolume:
        """What was observed of a recorded volume."""
        return self.seen.volumes.get(record.name) or SeenVolume()

    def all_are(self, *marks: Mark) -> bool:
        """Whether every recorded volume came at least that far."""
        return all(volume.step in marks for volume in self.status.volumes)

    def goes_on(
        self, step: Step, phase: str, message: str, *, reason: Reason = Reason.RUNNING, **changes: Any
    ) -> Decision:
        """Work is under way. A step that waits says itself what for."""
        if isinstance(step, Wait):
            message, reason = step.message, step.reason
        return Decision(step, self._with("InProgress", phase, reason, message, changes))

    def waits(self, phase: str, message: str, *, reason: Reason = Reason.WAITING, **changes: Any) -> Decision:
        """Others must finish something first."""
        return self.goes_on(Wait(message, reason), phase, message, **changes)

    def takes_note(self) -> Decision | None:
        """Of an end, that it holds for the spec as it is now, which kstatus would take for work under way otherwise."""
        generation = self.restore.metadata.generation
        if self.status.observed_generation == generation:
            return None
        conditions = [each.model_copy(update={"observed_generation": generation}) for each in self.status.conditions]
        changes = {"observed_generation": generation, "conditions": conditions}
        return Decision(Record(), self.status.model_copy(update=changes))

    def fails(self, refusal: Refusal, **changes: Any) -> Decision:
        """Record why; the next look takes back what was made."""
        failed = {"failure": Failure(reason=refusal.reason.value, message=refusal.message), **changes}
        status = self._with("InProgress", "CleaningUp", refusal.reason, refusal.message, failed)
        return Decision(Record(), status)

    def rests(
        self, state: State, phase: str, reason: Reason, message: str, *, again: datetime | None = None
    ) -> Decision:
        """Nothing goes on until somebody asks for it, or has mended what `again` is the time to look at."""
        return Decision(Finished(look_again=again), self._with(state, phase, reason, message, {}))

    def ends(self, step: Step, state: State, phase: str, reason: Reason, message: str, **changes: Any) -> Decision:
        """Nothing goes on any more."""
        ended = {"completion_time": self.now, "progress": None, "job_name": None, "inquiry_job": None, **changes}
        return Decision(step, self._with(state, phase, reason, message, ended))

    def marked(self, mark: Mark, names: Iterable[str]) -> list[VolumeRestore]:
        """The records with those volumes come as far as `mark`."""
        chosen = set(names)
        return [
            volume.model_copy(update={"step": mark}) if volume.name in chosen else volume
            for volume in self.status.volumes
        ]

    def _with(self, state: State, phase: str, reason: Reason, message: str, changes: dict[str, Any]) -> VMRestoreStatus:
        generation = self.restore.metadata.generation
        conditions = conditions_for(
            state, self.status.conditions, generation=generation, now=self.now, reason=reason, message=message
        )
        common = {"observed_generation": generation, "phase": phase, "conditions": conditions}
        status = self.status.model_copy(update={**common, **changes})
        return status.model_copy(update={"summary": summarize_restore(self.restore.spec, status)})
