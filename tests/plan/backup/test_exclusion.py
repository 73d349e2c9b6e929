"""Disks that a backup leaves out: who may say so, and that a run sticks to what it began with."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.plan.backup.course import advance, decide, with_status
from tests.plan.backup.objects import new_backup
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.api.volumes import ExcludedVolume
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.exclusion import with_exclusions, without_volumes
from safehold.plan.backup.facts import DiskFacts, MachineFacts
from safehold.reasons import Reason

SCRATCH_ONLY = {"claimSelector": {"matchLabels": {"kind": "scratch"}}}
DATA = DiskFacts(name="data", claim="db-data", snapshottable=True, claim_labels={})
LOGS = DiskFacts(name="logs", claim="db-logs", snapshottable=False, reason="no class", claim_labels={"kind": "scratch"})


def machine(**changes: Any) -> MachineFacts:
    """A VM with a disk that can be captured, and one that cannot."""
    return replace(MachineFacts(name="db", uid="vm-uid", disks=(DATA, LOGS)), **changes)


def backup(**exclude: Any) -> VMBackup:
    """A VMBackup that excludes this."""
    return new_backup(volumes={"exclude": exclude})


@pytest.mark.parametrize(
    ("wanted", "changes", "excluded", "reason"),
    [
        (new_backup(), {}, [], ""),
        (backup(names=["logs", "nothing"]), {}, ["logs"], "spec.volumes.exclude names it"),
        (backup(**SCRATCH_ONLY), {}, ["logs"], "claimSelector matches claim db-logs"),
        (backup(names=["other"], **SCRATCH_ONLY), {}, ["logs"], "claimSelector"),
        (new_backup(), {"excluded_by_owner": ("logs",)}, ["logs"], "safehold.dev/exclude-volumes"),
        (backup(names=["hot"]), {"unsaved_disks": ("hot",)}, ["hot"], "spec.volumes.exclude names it"),
        (backup(**SCRATCH_ONLY), {"disks": (DATA, replace(LOGS, claim_labels=None))}, [], ""),
    ],
)
def test_names_claims_and_the_owner_decide(
    wanted: VMBackup, changes: dict[str, Any], excluded: list[str], reason: str
) -> None:
    """Each with its reason; a name that no volume has means nothing."""
    seen = machine(**changes)
    found = with_exclusions(wanted, seen)
    assert [one.name for one in found.excluded] == excluded
    assert all(reason in one.reason for one in found.excluded)
    assert {disk.name for disk in found.disks} == {disk.name for disk in seen.disks} - set(excluded)
    assert set(found.unsaved_disks) == set(seen.unsaved_disks) - set(excluded)


def test_what_a_run_began_with_holds_to_its_end() -> None:
    """Labels and annotations that change in mid-run change nothing."""
    begun = backup(names=["data"])
    recorded = [ExcludedVolume(name="logs", reason="as it was")]
    status = begun.status.model_copy(update={"start_time": begun.metadata.creation_timestamp})
    begun = begun.model_copy(update={"status": status.model_copy(update={"excluded_volumes": recorded})})
    found = with_exclusions(begun, machine(excluded_by_owner=("data",)))
    assert [disk.name for disk in found.disks] == ["data"]


@dataclass
class Excluding(World):
    """Its observer leaves out what the run leaves out."""

    def machine(self) -> MachineFacts:
        """The VM as the run sees it."""
        return with_exclusions(self.backup, super().machine())

    def snapshot_facts(self) -> SnapshotFacts | None:
        """KubeVirt's snapshot, which has every disk, as the run sees it."""
        found = super().snapshot_facts()
        return found and without_volumes(found, {one.name for one in self.backup.status.excluded_volumes})


def test_a_run_records_what_it_leaves_out_and_holds_the_rest() -> None:
    """The snapshot has both disks and is accepted; only the other one is recorded, to be read."""
    world = Excluding(backup(names=["logs"]))
    advance(world, "Preparing")
    assert [one.name for one in world.backup.status.excluded_volumes] == ["logs"]
    status = with_status(world.backup, decide(world.backup, world.facts())).status
    assert [handle.volume for handle in status.handles] == ["data"]
    assert [volume.name for volume in status.volumes] == ["data"]


def test_a_vm_of_which_nothing_is_left_is_refused() -> None:
    """An empty restore point would look like a backup."""
    world = Excluding(backup(names=["data", "logs"]))
    failure = decide(world.backup, world.facts()).status.failure
    assert failure is not None
    assert failure.reason == Reason.NOT_SNAPSHOTTABLE
    assert "but those that are left out" in failure.message
