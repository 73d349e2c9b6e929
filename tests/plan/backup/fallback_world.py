"""A cluster in which KubeVirt gives every snapshot up at its deadline, as recorded: it thaws, and keeps nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta

from tests.plan.backup.holdings import Volume
from tests.plan.backup.objects import START, new_backup
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.api.consistency import Consistency
from safehold.plan.backup import steps
from safehold.plan.backup.capture_facts import CapturedVolume, SnapshotFacts, VolumeSnapshotFacts
from safehold.plan.backup.facts import BackupFacts, FallbackFacts, Leftovers, SnapshotClassFacts
from safehold.plan.backup.memory_facts import TenantObject
from safehold.plan.backup.stages import stage_of

DEADLINE = "snapshot deadline exceeded"
CLASS = SnapshotClassFacts(name="fast", driver="csi.example", default=False)


def demanding(**consistency: str) -> VMBackup:
    """A VMBackup with this demand."""
    backup, demand = new_backup(), Consistency.model_validate(consistency)
    return backup.model_copy(update={"spec": backup.spec.model_copy(update={"consistency": demand})})


@dataclass
class FallbackWorld(World):
    """The volumes are cut only by snapshots of our own."""

    classes: tuple[SnapshotClassFacts, ...] = (CLASS,)
    preferred: Mapping[str, str] = field(default_factory=dict)
    """By StorageClass: what CDI's StorageProfile names."""
    running: bool = True
    skew: timedelta = timedelta(milliseconds=250)
    """By how much the second volume is cut after the first."""

    def facts(self) -> BackupFacts:
        """What the observer reads: of KubeVirt's snapshot that it failed, then of our own."""
        facts = super().facts()
        if stage_of(self.backup) != "Capturing":
            return facts
        machine = replace(self.machine(), running=self.running)
        claims = {volume.name: super(FallbackWorld, self).captured(volume).claim for volume in self.volumes}
        possible = FallbackFacts(claims=claims, classes=self.classes, preferred_classes=self.preferred)
        return replace(facts, machine=machine, fallback=possible)

    def snapshot_facts(self) -> SnapshotFacts | None:
        """KubeVirt's, which fails at the second look, or our own."""
        if self.backup.status.fallback is not None:
            return self._own_capture()
        if self.snapshot is None:
            return None
        failed = self.snapshot >= 2
        return SnapshotFacts(
            name="snap",
            uid="snap-uid",
            vm="db",
            created=START + timedelta(seconds=1),
            deleting=False,
            succeeded=False,
            ready=False,
            failure=DEADLINE if failed else None,
            error="" if failed else "fsfreeze: the agent does not answer",
            indications=("GuestAgent", "Online"),
            capture=None,
        )

    def _own_capture(self) -> SnapshotFacts:
        captured = tuple(self.captured(volume) for volume in self.volumes)
        cut = [volume for volume in captured if volume.snapshot]
        taken = replace(
            SNAPSHOT,
            succeeded=len(cut) == len(self.volumes),
            ready=len(cut) == len(self.volumes),
            created=self.backup.status.fallback.start_time if self.backup.status.fallback else START,
        )
        assert taken.capture is not None
        return replace(taken, capture=replace(taken.capture, volumes=captured))

    def captured(self, volume: Volume) -> CapturedVolume:
        """One volume as our snapshot has it."""
        found = super().captured(volume)
        late = self.skew if volume is not self.volumes[0] else timedelta()
        if found.content is None:
            return found
        return replace(found, content=replace(found.content, cut_at=START + timedelta(seconds=70) + late))

    def vs(self, volume: Volume) -> VolumeSnapshotFacts | None:
        """Our VolumeSnapshot in the VM's namespace, which belongs to the VMBackup."""
        found = super().vs(volume)
        return found and replace(found, owner_uid=self.backup.metadata.uid)

    def leftovers(self) -> Leftovers:
        """With our snapshots in the VM's namespace."""
        own = tuple(
            TenantObject(namespace="shop", name=f"vs-{volume.name}", uid=volume.snapshot_uid)
            for volume in self.volumes
            if volume.snapshot_uid
        )
        return replace(super().leftovers(), tenant_snapshots=own)

    def carry_out(self, step: steps.Step) -> None:
        """Our own snapshots are cut at once."""
        if not isinstance(step, steps.TakeVolumeSnapshots):
            super().carry_out(step)
            return
        self.story.append("cut")
        assert self.backup.status.fallback, "what is cut must be recorded before the first write"
        for snapshot in step.snapshots:
            volume = next(volume for volume in self.volumes if f"vm-{volume.name}" == snapshot.claim)
            volume.physical, volume.snapshot_uid = True, f"vs-uid-{volume.name}"
            volume.original = {"policy": "Delete", "labels": {}, "annotations": {}}
        self.check()

    def take_snapshot(self) -> None:
        """KubeVirt tries to freeze."""
        if self.snapshot is None:
            self.snapshot, self.frozen = 0, True

    def delete_snapshot(self) -> None:
        """KubeVirt's failed snapshot has nothing under it."""
        self.snapshot, self.frozen = None, False

    def delete(self, step: steps.Delete) -> None:
        """Our snapshot takes its content along, unless that is held."""
        if step.kind != "VolumeSnapshot" or step.namespace != "shop":
            super().delete(step)
            return
        volume = next(volume for volume in self.volumes if volume.snapshot_uid == step.uid)
        volume.snapshot_uid = None
        if volume.original and volume.original["policy"] == "Delete":
            volume.original, volume.physical = None, False


def _shape() -> SnapshotFacts:
    world = World(new_backup())
    world.take_snapshot()
    world.snapshot = 2
    facts = world.snapshot_facts()
    assert facts is not None
    assert facts.capture is not None
    uid = world.backup.metadata.uid
    return replace(facts, uid=uid, indications=(), capture=replace(facts.capture, uid=uid))


SNAPSHOT = _shape()
"""The shape of our own capture."""
