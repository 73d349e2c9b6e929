"""A world whose plan can be compared with what was done in it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.plan.restore.objects import OPERATOR, SHOP
from tests.plan.restore.world import World

from safehold.api import VMRestore
from safehold.api.restore_plan import PlannedVolume, RestorePlan
from safehold.api.restored_volumes import VolumeRestore
from safehold.plan.restore import steps

Deed = tuple[str, str, str, str]
"""Action, kind, namespace and name."""


@dataclass
class PlannedWorld(World):
    """A world that also shows what a plan looks at, and that remembers what was done to it."""

    done: list[steps.Step] = field(default_factory=list)

    def carry_out(self, step: steps.Step) -> None:
        """Do it, and remember it."""
        self.done.append(step)
        super().carry_out(step)

    def planned(self) -> RestorePlan:
        """The plan on record, once there is one."""
        for _ in range(9):
            decision = self.decide()
            self.save(decision.status)
            if self.restore.status.plan is not None:
                return self.restore.status.plan
            self.carry_out(decision.step)
        raise AssertionError(self.restore.status)

    def go(self) -> VMRestore:
        """Set `dryRun` to false, and run to the end."""
        spec = self.restore.spec.model_copy(update={"dry_run": False})
        self.restore = self.restore.model_copy(update={"spec": spec})
        return self.run()

    def deeds(self) -> set[Deed]:
        """What the steps that were carried out amount to, object by object."""
        deeds: dict[tuple[str, str, str], str] = {}
        for step in self.done:
            for action, kind, namespace, name in _deeds(step):
                deeds[kind, namespace, name] = _fold(deeds.get((kind, namespace, name)), action)
        return {(action, *place) for place, action in deeds.items()}


def _deeds(step: steps.Step) -> list[Deed]:
    match step:
        case steps.CreateClaim(claim):
            return [("Create", "PersistentVolumeClaim", claim.namespace, claim.name)]
        case steps.DeleteClaim(claim):
            return [("Delete", "PersistentVolumeClaim", claim.namespace, claim.name)]
        case steps.KeepVolume(volume) if volume.startswith("old"):
            return [("Change", "PersistentVolume", "", volume)]
        case steps.StartRestoreJob(name) | steps.StartInquiry(name):
            return [("Create", "Job", OPERATOR, name), ("Create", "Secret", OPERATOR, name)]
        case steps.DeleteJob(name):
            return [("Delete", "Job", OPERATOR, name), ("Delete", "Secret", OPERATOR, name)]
        case steps.TakeSafetySnapshot() | steps.SaveObjects() | steps.MakePair() | steps.RemovePair():
            return _snapshot_deeds(step)
        case steps.DeleteObject(_, kind, name):
            return [("Delete", kind, SHOP, name)]
        case steps.CreateObject(manifest):
            return [("Create", manifest["kind"], SHOP, manifest["metadata"]["name"])]
        case steps.SetRunStrategy(vm) | steps.StartVM(vm):
            return [("Change", "VirtualMachine", SHOP, vm)]
    return []


def _snapshot_deeds(
    step: steps.TakeSafetySnapshot | steps.SaveObjects | steps.MakePair | steps.RemovePair,
) -> list[Deed]:
    """What is kept for the way back, and what volumes are completed from."""
    match step:
        case steps.TakeSafetySnapshot(name):
            return [("Create", "VirtualMachineSnapshot", SHOP, name)]
        case steps.SaveObjects(name):
            return [("Create", "Secret", SHOP, name)]
        case steps.MakePair(handle):
            action, name = "Create", handle.pair_name
        case steps.RemovePair(name):
            action = "Delete"
    return [(action, "VolumeSnapshotContent", "", name), (action, "VolumeSnapshot", OPERATOR, name)]


def _fold(before: str | None, action: str) -> str:
    table = {("Create", "Delete"): "Temporary", ("Delete", "Create"): "Replace", ("Create", "Change"): "Create"}
    return action if before is None else table.get((before, action), before)


def named(plan: RestorePlan) -> set[Deed]:
    """The changes of objects whose names are known beforehand."""
    return {
        ("Temporary" if each.temporary else each.action, each.kind, each.namespace or "", each.name)
        for each in plan.changes
        if each.name
    }


def paths(volumes: Iterable[PlannedVolume | VolumeRestore]) -> dict[str, str | None]:
    """By name of the volume: how it comes, or came, to its content."""
    return {volume.name: volume.path for volume in volumes}


def reasons(plan: RestorePlan) -> list[tuple[str, str]]:
    """Severity and reason of each conflict."""
    return [(each.severity, each.reason) for each in plan.conflicts]
