"""Bases: one run's snapshot is kept for the next, owned by exactly one content, whatever dies on the way."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.killed_runs import deleted, nothing_is_left, run
from tests.plan.backup.objects import RULES, START, new_backup
from tests.plan.backup.world import World

from safehold.plan.backup import steps
from safehold.plan.backup.bases import drop_base, stale_bases
from safehold.plan.backup.changes_facts import BaseFacts
from safehold.plan.conditions import READY, is_true
from safehold.plan.names import BASE_OF, VM_UID, pair_name

BASE = BaseFacts(
    name="base",
    uid="uid",
    claim_uid="claim",
    vm_uid="vm",
    policy_uid="policy",
    driver="csi.example",
    handle="physical",
    created=START,
    has_snapshot=True,
)


def with_service(*, old_bases: bool = True) -> World:
    """A world whose driver tells changed blocks."""
    world = World(new_backup(), service=True)
    for volume in world.volumes:
        volume.old_base = old_bases
    return world


def only_bases_are_left(world: World) -> None:
    """Each volume's snapshot is there, our pair alone owns it, and nothing else of the run or of earlier bases is."""
    assert (world.snapshot, world.job, world.machine_secret, world.frozen) == (None, None, False, False)
    for volume in world.volumes:
        assert volume.physical
        assert (volume.original, volume.snapshot_uid, volume.clone, volume.old_base) == (None, None, False, False)
        assert volume.pair_snapshot
        assert volume.pair_content is not None
        assert volume.pair_content["policy"] == "Delete"
        assert volume.pair_content["labels"] == {BASE_OF: f"claim-{volume.name}", VM_UID: "vm-uid"}


@given(deaths=st.frozensets(st.integers(0, 70), max_size=25))
@settings(max_examples=300)
def test_a_run_that_is_killed_anywhere_keeps_its_bases_and_drops_the_old(deaths: frozenset[int]) -> None:
    """However often the controller dies, the new bases end with one owner each, and the older ones are gone."""
    world = with_service()
    run(world, deaths)
    assert is_true(world.backup.status.conditions, READY)
    only_bases_are_left(world)


@given(deaths=st.frozensets(st.integers(0, 70), max_size=10), look=st.integers(0, 14))
@settings(max_examples=300)
def test_a_tenant_cannot_reach_what_is_kept(deaths: frozenset[int], look: int) -> None:
    """The snapshot may be deleted at any moment: the run fails with the old base kept, or ends with the new ones."""

    def tenant(world: World, at: int) -> None:
        if at == look and world.snapshot is not None:
            world.delete_snapshot()

    world = with_service()
    run(world, deaths, tenant)
    if world.backup.status.failure is None:
        only_bases_are_left(world)
        return
    assert all(volume.old_base for volume in world.volumes)
    for volume in world.volumes:
        volume.old_base = False
    nothing_is_left(world)


@given(look=st.integers(0, 14))
def test_who_deletes_the_backup_during_its_run_gets_no_base(look: int) -> None:
    """A deleted run's pairs go like everything of it; those that were bases already stay for the next run."""

    def tenant(world: World, at: int) -> None:
        if at == look and not world.backup.metadata.deletion_timestamp:
            world.backup = deleted(world)

    world = with_service(old_bases=False)
    run(world, frozenset(), tenant)
    for volume in world.volumes:
        assert (volume.original, volume.snapshot_uid, volume.clone) == (None, None, False)
        assert volume.physical == (volume.pair_content is not None)


def test_a_snapshot_that_lost_its_owner_is_deleted_by_us() -> None:
    """Where somebody orphaned KubeVirt's VolumeSnapshots, they are deleted one by one before ours owns the handle."""
    world = with_service()
    kept_uids = {volume.name: f"vs-uid-{volume.name}" for volume in world.volumes}

    def orphan(world: World, _: int) -> None:
        if world.backup.status.restore_point and world.snapshot is None:
            return
        if world.backup.status.restore_point:
            world.snapshot = None
            for volume in world.volumes:
                volume.snapshot_uid = kept_uids[volume.name]

    run(world, frozenset(), orphan)
    only_bases_are_left(world)


@pytest.mark.parametrize("failing", ["service", "age"])
def test_without_a_service_or_with_no_age_nothing_is_kept(failing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that tells nothing, or the setting 0, leaves no snapshot behind; older bases go with the new point."""
    if failing == "age":
        rules = replace(RULES, base_max_age=timedelta())
        monkeypatch.setattr("tests.plan.backup.killed_runs.RULES", rules)
    world = with_service()
    world.service = failing != "service"
    run(world)
    assert is_true(world.backup.status.conditions, READY)
    nothing_is_left(world)


def test_the_next_run_asks_since_the_newest_base() -> None:
    """The worker gets our pair, the driver's service, and the handle of the base that the last run kept."""
    world = with_service()
    started = _started(world)
    volume = started.run.volumes[0]
    assert volume.changes is not None
    assert volume.changes.engine == "CSI"
    assert (volume.changes.base, volume.changes.snapshot) == ("earlier-data", pair_name("backup-uid", "data"))
    assert (volume.changes.namespace, volume.checkpoint) == ("safehold", "physical-data")
    assert started.audiences == {"csi.example": "csi.example"}


def _started(world: World) -> steps.StartBackup:
    found: list[steps.StartBackup] = []
    carry_out = world.carry_out

    def watch(step: steps.Step) -> None:
        if isinstance(step, steps.StartBackup):
            found.append(step)
        carry_out(step)

    world.carry_out = watch  # type: ignore[method-assign]  # a look over its shoulder
    run(world)
    return found[0]


STALE: list[tuple[dict[str, object], bool]] = [
    ({}, False),
    ({"created": START - timedelta(days=8)}, True),
    ({"created": START - timedelta(days=7)}, False),
    ({"vm_uid": "gone"}, True),
    ({"policy_uid": "gone"}, True),
    ({"policy_uid": None}, False),
]


@pytest.mark.parametrize(("changes", "stale"), STALE)
def test_bases_that_nobody_asks_about_are_stale(changes: dict[str, object], stale: bool) -> None:
    """Age, a VM that is gone and a policy that is gone end a base; a person's backup has no policy."""
    base = replace(BASE, **changes)  # type: ignore[arg-type]  # a table of fields
    found = stale_bases([base], machines={"vm"}, policies={"policy"}, now=START, max_age=timedelta(days=8))
    assert bool(found) == stale


def test_of_two_bases_of_a_volume_the_newer_stays() -> None:
    """A run that was deleted between keeping and dropping leaves two."""
    older = replace(BASE, name="older", created=START - timedelta(hours=1))
    found = stale_bases([BASE, older], machines={"vm"}, policies={"policy"}, now=START, max_age=timedelta(days=8))
    assert found == [older]


def test_a_base_without_its_snapshot_goes_by_its_content() -> None:
    """With the VolumeSnapshot content and physical snapshot go; without one, the content takes it along."""
    assert drop_base(BASE) == steps.Delete(kind="VolumeSnapshot", name="base")
    gone = replace(BASE, has_snapshot=False)
    assert drop_base(gone) == steps.Delete(kind="VolumeSnapshotContent", name="base", uid="uid")
