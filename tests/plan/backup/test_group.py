"""The volumes cut as a group after KubeVirt has given up: chosen, cut at one instant, held, and taken back."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.course import advance, decide, with_status
from tests.plan.backup.fallback_world import DEADLINE, demanding
from tests.plan.backup.group_world import GROUP_CLASS, UID, GroupWorld, nothing_of_the_group_is_left
from tests.plan.backup.holdings import Volume
from tests.plan.backup.killed_runs import deleted, nothing_is_left, run
from tests.plan.backup.objects import START
from tests.plan.backup.world import World

from safehold.api.fallback import FallbackGroup
from safehold.api.vmbackup import VMBackupStatus
from safehold.plan.backup.capture_facts import ClaimFacts
from safehold.plan.backup.group.choice import choose_group
from safehold.plan.backup.group.facts import GroupOffer
from safehold.plan.backup.group.steps import CutGroup, HoldGroup, RemoveGroup, UnmarkClaim
from safehold.plan.backup.reconcile import after_refused_step
from safehold.plan.conditions import READY, is_true
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason


def ended(world: GroupWorld) -> VMBackupStatus:
    """The status after the whole run."""
    run(world)
    nothing_is_left(world)
    nothing_of_the_group_is_left(world)
    return world.backup.status


def given_up(world: GroupWorld) -> GroupWorld:
    """KubeVirt's snapshot has failed, and nothing was decided yet."""
    advance(world, "Snapshotting")
    world.take_snapshot()
    world.snapshot, world.frozen = 2, False
    return world


def cutting(world: GroupWorld) -> GroupWorld:
    """The group was asked for, and its controllers have not looked yet."""
    given_up(world)
    for _ in ("recorded", "made"):
        decision = decide(world.backup, world.facts(), timedelta(seconds=62))
        world.backup = with_status(world.backup, decision)
        for step in decision.steps:
            world.carry_out(step)
    assert world.group
    return world


def claim(name: str, driver: str = "csi.example", mark: str | None = None) -> ClaimFacts:
    """A claim of the VM."""
    return ClaimFacts(
        name=name,
        uid=f"uid-{name}",
        mode="Block",
        capacity_bytes=1,
        storage_class=None,
        access_modes=(),
        driver=driver,
        volume_handle=f"handle-{name}",
        mark=mark,
    )


TWO = (claim("a"), claim("b"))
OFFER = GroupOffer(classes=(GROUP_CLASS,))


@pytest.mark.parametrize(
    ("claims", "offer", "said"),
    [
        (TWO, GroupOffer(obstacle="the cluster serves none"), "the cluster serves none"),
        (TWO, GroupOffer(), "no VolumeGroupSnapshotClass"),
        (TWO, GroupOffer(classes=(replace(GROUP_CLASS, driver="csi.other"),)), "no VolumeGroupSnapshotClass"),
        (TWO, GroupOffer(classes=(replace(GROUP_CLASS, policy="Retain"),)), "deletionPolicy Retain"),
        ((claim("a"), claim("b", "csi.other")), OFFER, "several CSI drivers: csi.example, csi.other"),
        ((claim("a"), claim("b", mark="other-run")), OFFER, "claim b is marked by another group"),
    ],
)
def test_where_no_group_can_be_it_is_said_why(claims: tuple[ClaimFacts, ...], offer: GroupOffer, said: str) -> None:
    """Each obstacle in words, which the status keeps."""
    found = choose_group(claims, offer, backup="db-1", backup_uid=UID)
    assert isinstance(found, str)
    assert said in found


@pytest.mark.parametrize(
    ("classes", "chosen", "why"),
    [
        ([("b", False, "Delete")], "b", "the only class"),
        ([("b", False, "Delete"), ("a", True, "Delete")], "a", "the default class"),
        ([("b", False, "Delete"), ("a", False, "Delete")], "a", "first by name of 2 classes"),
        ([("c", True, "Delete"), ("b", True, "Delete"), ("a", False, "Delete")], "b", "several default classes"),
        ([("b", False, "Delete"), ("a", True, "Retain")], "b", "the only class"),
    ],
)
def test_the_class_is_chosen_in_one_way_only(classes: list[tuple[str, bool, str]], chosen: str, why: str) -> None:
    """The default one, else the only one, else the first by name; one that retains never."""
    offer = GroupOffer(
        classes=tuple(
            replace(GROUP_CLASS, name=name, default=default, policy="Retain" if policy == "Retain" else "Delete")
            for name, default, policy in classes
        )
    )
    found = choose_group(TWO, offer, backup="db-1", backup_uid=UID)
    assert isinstance(found, FallbackGroup)
    assert found.class_name == chosen
    assert why in found.class_reason


def test_our_own_mark_of_an_earlier_try_is_no_obstacle() -> None:
    """A run that was interrupted finds it, and a single volume needs no group at all."""
    marked = (claim("a", mark=UID), claim("b"))
    assert isinstance(choose_group(marked, OFFER, backup="db-1", backup_uid=UID), FallbackGroup)
    assert choose_group(TWO[:1], OFFER, backup="db-1", backup_uid=UID) is None


def test_several_volumes_are_cut_at_one_instant() -> None:
    """Crash-consistent, without any skew, and the status names group and class."""
    status = ended(GroupWorld(demanding()))
    assert is_true(status.conditions, READY)
    found, fallback = status.consistency, status.fallback
    assert found is not None
    assert fallback is not None
    assert fallback.by_group is not None
    assert (found.reached, found.skew_millis, found.frozen_millis) == ("Crash", 0, None)
    assert f"at one instant by VolumeGroupSnapshot {fallback.by_group.name}" in found.reason
    assert DEADLINE in found.reason
    assert (fallback.by_group.class_name, fallback.by_group.content) == ("together", "group-content")


def test_a_stopped_vm_that_is_cut_as_a_group_is_offline() -> None:
    """Nobody wrote, and the reason names the group all the same."""
    found = ended(GroupWorld(demanding(), running=False)).consistency
    assert found is not None
    assert (found.reached, "VolumeGroupSnapshot" in found.reason) == ("Offline", True)


def test_a_single_volume_is_cut_without_a_group() -> None:
    """And nothing is said about a group, which would have changed nothing."""
    fallback = ended(GroupWorld(demanding(), volumes=[Volume("data")])).fallback
    assert fallback is not None
    assert (fallback.group, fallback.ungrouped_reason) == (None, None)


def test_without_a_class_the_volumes_are_cut_one_by_one() -> None:
    """As before, with the skew, and with the reason in the status."""
    status = ended(GroupWorld(demanding(), offer=GroupOffer()))
    assert status.consistency is not None
    assert status.consistency.skew_millis == 250
    assert status.fallback is not None
    assert "no VolumeGroupSnapshotClass" in (status.fallback.ungrouped_reason or "")


def test_the_claims_are_freed_as_soon_as_the_controller_has_chosen() -> None:
    """What the group cuts is fixed with its content: the marks go before the members are ready."""
    world = cutting(GroupWorld(demanding()))
    assert world.marks == {"vm-data", "vm-logs"}
    assert not any(isinstance(step, UnmarkClaim) for step in decide(world.backup, world.facts()).steps)
    world.look()
    decision = decide(world.backup, world.facts(), timedelta(seconds=64))
    assert {step.name for step in decision.steps if isinstance(step, UnmarkClaim)} == {"vm-data", "vm-logs"}


def test_a_group_that_took_another_claim_is_not_believed() -> None:
    """Somebody labelled one more claim: the group goes, and each volume is cut for itself."""
    status = ended(GroupWorld(demanding(), stranger=True))
    assert status.fallback is not None
    assert "took 3 volumes" in (status.fallback.ungrouped_reason or "")
    assert status.fallback.by_group is None
    assert status.consistency is not None
    assert (status.restore_point, status.consistency.skew_millis) == ("point-1", 250)


def test_a_group_that_missed_a_claim_is_not_believed() -> None:
    """Somebody took the label away before the controller looked."""
    world = cutting(GroupWorld(demanding()))
    world.marks.discard("vm-logs")
    world.look()
    decision = decide(world.backup, world.facts(), timedelta(seconds=64))
    assert decision.status.fallback is not None
    assert "took 1 volumes" in (decision.status.fallback.ungrouped_reason or "")
    assert [step for step in decision.steps if isinstance(step, RemoveGroup)]
    assert [step.name for step in decision.steps if isinstance(step, UnmarkClaim)] == ["vm-data"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"group_uid": "another"}, "does not name"),
        ({"group_namespace": "elsewhere"}, "does not name"),
        ({"name": "swapped"}, "does not name"),
        ({"driver": "csi.other"}, "driver csi.other"),
    ],
)
def test_a_group_and_its_content_must_name_each_other(change: dict[str, str], said: str) -> None:
    """Whoever may write the group's status cannot make us read another group."""
    world = cutting(GroupWorld(demanding()))
    world.look()
    facts = world.facts()
    assert facts.group is not None
    assert facts.group.content is not None
    forged = replace(facts.group, content=replace(facts.group.content, **change))  # type: ignore[arg-type]  # a table
    fallback = decide(world.backup, replace(facts, group=forged), timedelta(seconds=64)).status.fallback
    assert fallback is not None
    assert said in (fallback.ungrouped_reason or "")


@pytest.mark.parametrize(
    "change",
    [
        {"uid": "another"},
        {"selector": {"app": "db"}},
        {"created": START - timedelta(hours=1)},
        {"deleting": True},
    ],
)
def test_a_group_of_somebody_else_under_our_name_is_not_ours(change: dict[str, object]) -> None:
    """Its uid, its selector and its age tell; so does its end."""
    world = cutting(GroupWorld(demanding()))
    world.backup = with_status(world.backup, decide(world.backup, world.facts(), timedelta(seconds=63)))
    facts = world.facts()
    assert facts.group is not None
    assert facts.group.snapshot is not None
    forged = replace(facts.group, snapshot=replace(facts.group.snapshot, **change))  # type: ignore[arg-type]  # a table
    fallback = decide(world.backup, replace(facts, group=forged), timedelta(seconds=64)).status.fallback
    assert fallback is not None
    assert fallback.ungrouped_reason


def test_a_driver_that_does_not_cut_the_group_in_time_is_asked_for_each_volume() -> None:
    """One freezeTimeout for the group, and a fresh one for the volumes; the driver's words are kept."""
    status = ended(GroupWorld(demanding(), stuck=True))
    assert status.fallback is not None
    assert "not cut within 60 s: csi: busy" in (status.fallback.ungrouped_reason or "")
    assert status.restore_point == "point-1"


def test_a_group_that_the_cluster_refuses_is_done_without() -> None:
    """Missing rights, a quota or an admission rule cost the instant and not the backup."""
    world = given_up(GroupWorld(demanding()))
    recorded = decide(world.backup, world.facts(), timedelta(seconds=62))
    world.backup = with_status(world.backup, recorded)
    decision = decide(world.backup, world.facts(), timedelta(seconds=62))
    step = next(step for step in decision.steps if isinstance(step, CutGroup))
    refusal = Refusal(Reason.FORBIDDEN, "not allowed")
    status = after_refused_step(world.backup, decision.status, step, refusal)
    assert status.failure is None
    assert status.fallback is not None
    assert "not allowed" in (status.fallback.ungrouped_reason or "")


def test_nothing_is_made_from_members_before_the_group_is_held() -> None:
    """A tenant who deletes the group must not pull the snapshots from under the worker."""
    world = GroupWorld(demanding())
    advance(world, "Preparing")
    decision = decide(world.backup, world.facts())
    world.backup = with_status(world.backup, decision)
    first = decide(world.backup, world.facts())
    assert isinstance(first.steps[0], HoldGroup)
    assert first.steps[0].policy == "Delete"
    for step in first.steps:
        world.carry_out(step)
    assert world.held is not None
    assert world.held["policy"] == "Retain"


def test_a_held_group_that_lost_its_content_fails_the_run() -> None:
    """Only an administrator can delete it; nothing is read from what it held."""
    world = GroupWorld(demanding())
    advance(world, "Preparing")
    world.backup = with_status(world.backup, decide(world.backup, world.facts()))
    facts = world.facts()
    assert facts.group is not None
    failure = decide(world.backup, replace(facts, group=replace(facts.group, content=None))).status.failure
    assert failure is not None
    assert (failure.reason, "VolumeGroupSnapshot" in failure.message) == (Reason.SNAPSHOT_FAILED, True)


def test_a_member_never_becomes_a_base() -> None:
    """It goes with its group, so the next run has nothing to compare with, and the status says so."""
    world = GroupWorld(demanding(), service=True)
    advance(world, "Transferring")
    assert [handle.kept_as_base for handle in world.backup.status.handles] == [False, False]
    status = ended(world)
    assert {"member of a group" in (volume.engine_reason or "") for volume in status.volumes} == {True}


@given(deaths=st.frozensets(st.integers(0, 60), max_size=25))
@settings(max_examples=200)
def test_a_group_that_is_killed_anywhere_still_completes(deaths: frozenset[int]) -> None:
    """However often the controller dies, the run has its point, and no group and no mark is left."""
    world = GroupWorld(demanding())
    run(world, deaths)
    assert is_true(world.backup.status.conditions, READY)
    nothing_is_left(world)
    nothing_of_the_group_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=10), look=st.integers(0, 14), stranger=st.booleans())
@settings(max_examples=200)
def test_a_deleted_backup_takes_its_group_and_its_marks_along(
    deaths: frozenset[int], look: int, stranger: bool
) -> None:
    """Deleting the VMBackup at any moment, also while a group is given up."""

    def tenant(world: World, at: int) -> None:
        if at == look:
            world.backup = deleted(world)

    world = GroupWorld(demanding(), stranger=stranger)
    run(world, deaths, tenant)
    nothing_is_left(world)
    nothing_of_the_group_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=10), look=st.integers(0, 14))
@settings(max_examples=200)
def test_a_tenant_who_deletes_the_group_loses_nothing_but_the_run(deaths: frozenset[int], look: int) -> None:
    """At any moment: the run completes or fails, the worker reads no gone snapshot, and nothing is left."""

    def tenant(world: World, at: int) -> None:
        assert isinstance(world, GroupWorld)
        if at == look and world.group is not None:
            world.delete_group()

    world = GroupWorld(demanding())
    run(world, deaths, tenant)
    nothing_is_left(world)
    nothing_of_the_group_is_left(world)
    assert (world.backup.status.restore_point is None) == (world.backup.status.failure is not None)
