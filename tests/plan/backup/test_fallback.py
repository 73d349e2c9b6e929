"""Volume snapshots of our own after KubeVirt has given up: when, of what, how consistent, and how it ends."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.course import advance, decide
from tests.plan.backup.fallback_world import CLASS, DEADLINE, FallbackWorld, demanding
from tests.plan.backup.killed_runs import deleted, nothing_is_left, run
from tests.plan.backup.objects import START
from tests.plan.backup.world import World

from safehold.api.vmbackup import VMBackupStatus
from safehold.plan.backup import steps
from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.facts import SnapshotClassFacts
from safehold.plan.conditions import CONSISTENT, READY, is_true
from safehold.reasons import Reason

FALLBACK = {"level": "Filesystem", "onFailure": "Fallback"}


def ended(world: FallbackWorld) -> VMBackupStatus:
    """The status after the whole run."""
    run(world)
    nothing_is_left(world)
    return world.backup.status


@pytest.mark.parametrize(
    ("demand", "met"),
    [({}, True), ({"level": "Crash", "onFailure": "Fallback"}, True), (FALLBACK, False)],
)
def test_a_point_comes_of_a_snapshot_that_kubevirt_gave_up(demand: dict[str, str], met: bool) -> None:
    """The volumes are cut one by one: Crash-consistent, with the skew, why, and whether that is what was demanded."""
    status = ended(FallbackWorld(demanding(**demand)))
    assert is_true(status.conditions, READY)
    assert is_true(status.conditions, CONSISTENT) is met
    found = status.consistency
    assert found is not None
    assert (found.reached, found.skew_millis, found.frozen_millis) == ("Crash", 250, None)
    assert DEADLINE in found.reason
    assert "the agent does not answer" in found.reason


@pytest.mark.parametrize("demand", [{"level": "Filesystem"}, {"level": "Crash", "onFailure": "Fail"}])
def test_where_no_fallback_is_wanted_the_run_fails(demand: dict[str, str]) -> None:
    """No volume is cut, and KubeVirt's last words are told."""
    world = FallbackWorld(demanding(**demand))
    advance(world, "CleaningUp")
    failure = world.backup.status.failure
    assert failure is not None
    assert (failure.reason, world.backup.status.fallback) == (Reason.SNAPSHOT_FAILED, None)
    assert "the agent does not answer" in failure.message
    assert not any(volume.physical for volume in world.volumes)


@pytest.mark.parametrize(("running_after", "reached"), [(False, "Offline"), (True, "Crash")])
def test_a_stopped_vm_is_offline_unless_it_was_started_meanwhile(running_after: bool, reached: str) -> None:
    """Stopped before the first cut and after the last: nobody wrote in between."""
    world = FallbackWorld(demanding(), running=False)
    while world.backup.status.fallback is None or not all(volume.physical for volume in world.volumes):
        decision = decide(world.backup, world.facts(), world.now - START)
        world.backup = world.backup.model_copy(update={"status": decision.status})
        for step in decision.steps:
            world.carry_out(step)
        world.look()
    world.running = running_after
    found = ended(world).consistency
    assert found is not None
    assert found.reached == reached


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ((), "0 VolumeSnapshotClasses"),
        ((replace(CLASS, driver="csi.other"),), "0 VolumeSnapshotClasses"),
        ((CLASS, replace(CLASS, name="slow")), "is-default-class"),
        ((replace(CLASS, default=True), replace(CLASS, name="slow", default=True)), "2 of them are marked"),
    ],
)
def test_without_one_class_to_choose_the_run_fails(classes: tuple[SnapshotClassFacts, ...], said: str) -> None:
    """As KubeVirt does: the only class of the driver, or its default one."""
    failure = ended(FallbackWorld(demanding(), classes=classes)).failure
    assert failure is not None
    assert (failure.reason, said in failure.message, DEADLINE in failure.message) == (
        Reason.NOT_SNAPSHOTTABLE,
        True,
        True,
    )


def test_the_default_class_of_the_driver_is_chosen() -> None:
    """Where there are several."""
    world = FallbackWorld(demanding(), classes=(CLASS, replace(CLASS, name="best", default=True)))
    recorded = ended(world).fallback
    assert recorded is not None
    assert {volume.class_name for volume in recorded.volumes} == {"best"}


@pytest.mark.parametrize(
    ("classes", "preferred", "chosen", "said"),
    [
        ((CLASS, replace(CLASS, name="best", default=True)), "fast", "fast", ""),
        ((CLASS, replace(CLASS, name="slow")), "slow", "slow", ""),
        ((CLASS,), "gone", None, "StorageProfile fast names VolumeSnapshotClass gone, which does not exist"),
        ((CLASS, replace(CLASS, name="other", driver="csi.other")), "other", None, "of driver csi.other"),
    ],
)
def test_the_class_of_the_storage_profile_comes_first(
    classes: tuple[SnapshotClassFacts, ...], preferred: str, chosen: str | None, said: str
) -> None:
    """Before the driver's only and its default class, as with KubeVirt; one that cannot serve fails the run."""
    status = ended(FallbackWorld(demanding(), classes=classes, preferred={"fast": preferred}))
    if chosen is None:
        assert status.failure is not None
        assert (status.failure.reason, said in status.failure.message) == (Reason.NOT_SNAPSHOTTABLE, True)
    else:
        assert status.fallback is not None
        assert {volume.class_name for volume in status.fallback.volumes} == {chosen}


def given_up(world: FallbackWorld) -> FallbackWorld:
    """KubeVirt's snapshot has failed, and nothing was decided yet."""
    advance(world, "Snapshotting")
    world.take_snapshot()
    world.snapshot, world.frozen = 2, False
    return world


def cut(world: FallbackWorld) -> SnapshotFacts:
    """Our own snapshots, once all are made."""
    for _ in ("recorded", "made"):
        decision = decide(world.backup, world.facts())
        world.backup = world.backup.model_copy(update={"status": decision.status})
        for step in decision.steps:
            world.carry_out(step)
    snapshot = world.snapshot_facts()
    assert snapshot is not None
    return snapshot


def test_the_guest_is_thawed_before_anything_is_cut() -> None:
    """KubeVirt thaws when it gives up; ten seconds later we do, and only a dead agent is not waited for."""
    world = given_up(FallbackWorld(demanding()))
    world.frozen = True
    frozen = replace(world.facts(), machine=replace(world.machine(), frozen=True))
    waiting = decide(world.backup, frozen, timedelta(seconds=63))
    assert (waiting.steps, waiting.status.fallback) == ((), None)
    thawing = decide(world.backup, frozen, timedelta(seconds=73))
    assert thawing.steps == (steps.Thaw(namespace="shop", vm="db"),)
    assert decide(world.backup, frozen, timedelta(minutes=7)).status.fallback is not None


@pytest.mark.parametrize(
    ("succeeded", "later", "reason"),
    [(False, timedelta(seconds=70), Reason.SNAPSHOT_FAILED), (True, timedelta(minutes=35), Reason.TIMED_OUT)],
)
def test_snapshots_that_are_not_cut_or_not_readable_in_time_fail_the_run(
    succeeded: bool, later: timedelta, reason: Reason
) -> None:
    """Cuts that are minutes apart are no image of a VM; one that was cut may take its time to be uploaded."""
    world = given_up(FallbackWorld(demanding()))
    snapshot = replace(cut(world), error="csi: busy", succeeded=succeeded, ready=False)
    late = replace(world.facts(), snapshot=snapshot)
    assert "csi: busy" in decide(world.backup, late).status.conditions[0].message
    failure = decide(world.backup, late, later).status.failure
    assert failure is not None
    assert (failure.reason, "csi: busy" in failure.message) == (reason, True)


def test_a_snapshot_of_somebody_else_under_our_name_is_not_trusted() -> None:
    """It is told by its owner, before anything is read from it."""
    world = given_up(FallbackWorld(demanding()))
    snapshot = cut(world)
    assert snapshot.capture is not None
    first, *rest = snapshot.capture.volumes
    assert first.snapshot is not None
    forged = replace(first, snapshot=replace(first.snapshot, owner_uid=None))
    facts = replace(snapshot, capture=replace(snapshot.capture, volumes=(forged, *rest)))
    failure = decide(world.backup, replace(world.facts(), snapshot=facts)).status.failure
    assert failure is not None
    assert failure.reason == Reason.SNAPSHOT_NOT_TRUSTED


@given(deaths=st.frozensets(st.integers(0, 60), max_size=25))
@settings(max_examples=200)
def test_a_fallback_that_is_killed_anywhere_still_completes(deaths: frozenset[int]) -> None:
    """However often the controller dies, the run ends with its point and leaves nothing, in either namespace."""
    world = FallbackWorld(demanding())
    run(world, deaths)
    assert is_true(world.backup.status.conditions, READY)
    nothing_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=10), look=st.integers(0, 14))
@settings(max_examples=200)
def test_a_deleted_fallback_cleans_up_and_goes(deaths: frozenset[int], look: int) -> None:
    """Deleting the VMBackup at any moment leaves no snapshot of ours behind."""

    def tenant(world: World, at: int) -> None:
        if at == look:
            world.backup = deleted(world)

    world = FallbackWorld(demanding())
    run(world, deaths, tenant)
    nothing_is_left(world)
