"""Application hooks around a capture: which runs when, and what a run makes of how they end."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plan.backup.course import advance, decide
from tests.plan.backup.fallback_world import FallbackWorld
from tests.plan.backup.killed_runs import Killed, deleted, nothing_is_left, reconcile
from tests.plan.backup.objects import new_backup
from tests.plan.backup.pull import objects as pulled
from tests.plan.backup.world import World

from safehold.api import VMBackup
from safehold.api.hooks import HookResult
from safehold.plan.backup.facts import HookFacts, HookOutcome
from safehold.plan.backup.pull.steps import StartPull
from safehold.plan.backup.steps import StartHook
from safehold.plan.conditions import READY, is_finished, is_true
from safehold.reasons import Reason


def hook(name: str, **more: Any) -> dict[str, Any]:
    """A hook as it is written."""
    return {"name": name, "selector": {"matchLabels": {"app": "db"}}, "command": ["/bin/hook", name], **more}


def backup_with(pre: Sequence[dict[str, Any]], post: Sequence[dict[str, Any]]) -> VMBackup:
    """A VMBackup with hooks."""
    return new_backup(hooks={"pre": list(pre), "post": list(post)})


def run(world: World, deaths: frozenset[int] = frozenset(), tenant: Callable[[World, int], None] | None = None) -> None:
    """Reconcile until the run is over; with a death before a write the process forgets the hooks that it began."""
    writes = iter(range(10_000))
    for look in range(200):
        try:
            reconcile(world, lambda: next(writes) in deaths)
        except Killed:
            world.hooks.clear()
        if is_finished(world.backup.status.conditions):
            return
        if tenant:
            tenant(world, look)
        world.look()
    pytest.fail("the run does not end")


def told(world: World) -> list[tuple[str, str, bool | None]]:
    """Phase, name and success of each hook in the status."""
    return [(result.phase, result.name, result.succeeded) for result in world.backup.status.hooks]


def test_hooks_stand_around_the_cut() -> None:
    """The ones before run in their order, then the volumes are cut, then the ones after; the point is Application."""
    world = World(backup_with([hook("flush"), hook("hold")], [hook("resume"), hook("tell")]))
    run(world)
    assert world.story == ["flush", "hold", "cut", "resume", "tell"]
    assert [succeeded for _, _, succeeded in told(world)] == [True] * 4
    status = world.backup.status
    assert status.consistency is not None
    assert (status.phase, status.consistency.reached) == ("Completed", "Application")
    assert {(result.exit_code, result.millis) for result in status.hooks} == {(0, 5)}
    nothing_is_left(world)


def test_all_hooks_are_listed_before_the_first_one_is_begun() -> None:
    """A restarted controller finds in the status what is owed."""
    world = World(backup_with([hook("hold")], [hook("resume")]))
    decision = decide(world.backup, world.facts())
    assert decision.steps == ()
    assert decision.status.hooks == [HookResult(name="hold", phase="Pre"), HookResult(name="resume", phase="Post")]


def test_hooks_after_the_cut_do_not_wait_for_the_snapshot_to_be_readable() -> None:
    """An application that was held goes on once the volumes are cut, however long the copy of the snapshot takes."""
    world = World(backup_with([], [hook("resume")]))
    advance(world, "Snapshotting")
    while world.snapshot is None or world.snapshot < 2:
        reconcile(world, lambda: False)
        world.look()
    world.volumes[0].snapshot_uid = None
    reconcile(world, lambda: False)
    assert world.snapshot_facts().ready is False  # type: ignore[union-attr]  # it was taken above
    assert world.story == ["cut", "resume"]


@pytest.mark.parametrize(
    ("failing", "on_error", "story", "outcome"),
    [
        ("hold", "Fail", ["hold", "resume"], Reason.HOOK_FAILED),
        ("hold", "Continue", ["hold", "cut", "resume"], "Filesystem"),
        ("resume", "Fail", ["hold", "cut", "resume"], Reason.HOOK_FAILED),
        ("resume", "Continue", ["hold", "cut", "resume"], "Filesystem"),
    ],
)
def test_on_error_decides(failing: str, on_error: str, story: list[str], outcome: str) -> None:
    """Fail ends the run, and what undoes the hooks runs all the same; Continue makes the point Filesystem at best."""
    world = World(backup_with([hook("hold", onError=on_error)], [hook("resume", onError=on_error)]))
    world.failing_hooks = frozenset({failing})
    run(world)
    assert world.story == story
    status = world.backup.status
    reached = status.consistency.reached if status.consistency else ""
    assert (status.failure.reason if status.failure else reached) == outcome
    if status.failure:
        assert f"hook {failing} failed: no luck" in status.failure.message
    assert next(result.message for result in status.hooks if result.name == failing) == "no luck"
    nothing_is_left(world)


def test_a_hook_that_runs_is_waited_for() -> None:
    """While it runs nothing is begun, and nothing is written."""
    world = World(backup_with([hook("hold")], []))
    advance(world, "Snapshotting")
    reconcile(world, lambda: False)
    again = decide(world.backup, world.facts(), timedelta(seconds=5))
    assert (again.steps, again.status.hooks, again.again) == ((), world.backup.status.hooks, 2.0)
    assert world.story == ["hold"]


@given(deaths=st.frozensets(st.integers(0, 60), max_size=25))
@settings(max_examples=200, deadline=None)
def test_each_hook_runs_at_least_once_whatever_dies(deaths: frozenset[int]) -> None:
    """However often the controller dies, the ones before run before the cut, the ones after it after; all are told."""
    world = World(backup_with([hook("hold")], [hook("resume")]))
    run(world, deaths)
    assert is_true(world.backup.status.conditions, READY)
    assert [succeeded for _, _, succeeded in told(world)] == [True, True]
    order = list(dict.fromkeys(world.story))
    assert order == ["hold", "cut", "resume"]
    assert world.story.index("cut") > max(at for at, name in enumerate(world.story) if name == "hold")
    nothing_is_left(world)


@given(deaths=st.frozensets(st.integers(0, 60), max_size=10), look=st.integers(0, 12), ending=st.booleans())
@settings(max_examples=200, deadline=None)
def test_what_was_held_is_released_when_a_run_is_cancelled(deaths: frozenset[int], look: int, ending: bool) -> None:
    """Deleting the VMBackup at any moment: a hook before that was begun is followed by the one after."""

    def tenant(world: World, at: int) -> None:
        if at == look:
            world.backup = deleted(world)
            world.namespace_ending = ending

    world = World(backup_with([hook("hold")], [hook("resume")]))
    run(world, deaths, tenant)
    if "hold" in world.story and not ending:
        assert world.story.index("resume") > world.story.index("hold")
        assert ("Post", "resume", True) in told(world)
    nothing_is_left(world)


def test_hooks_also_stand_around_a_cut_of_our_own() -> None:
    """When KubeVirt gives its snapshot up, the ones after wait for the snapshots that take its place."""
    world = FallbackWorld(backup_with([hook("hold")], [hook("resume")]))
    advance(world, "Preparing")
    assert world.story == ["hold", "cut", "resume"]
    assert told(world) == [("Pre", "hold", True), ("Post", "resume", True)]
    assert all(volume.physical for volume in world.volumes)


def test_hooks_also_stand_around_a_backup_of_kubevirts() -> None:
    """It is asked for after the ones before, and judged after the others; a snapshot instead has all of them again."""
    backup = pulled.pulling(hooks={"pre": [hook("hold")], "post": [hook("resume")]})
    backup = pulled.after(backup, pulled.decide(backup, pulled.facts()))
    held = pulled.decide(backup, pulled.facts())
    assert [type(step) for step in held.steps] == [StartHook]
    backup = pulled.after(backup, held)
    success = HookOutcome(succeeded=True, exit_code=0, millis=5, message="")
    ended = (HookFacts(phase="Pre", name="hold", outcome=success),)
    for _ in range(2):
        asked = pulled.decide(backup, pulled.facts(hooks=ended))
        backup = pulled.after(backup, asked)
    assert any(isinstance(step, StartPull) for step in asked.steps)
    ready = replace(pulled.READY, backup=pulled.served(pulled.name_of(backup)))
    resumed = pulled.decide(backup, pulled.facts(ready, hooks=ended))
    assert [step.hook.name for step in resumed.steps if isinstance(step, StartHook)] == ["resume"]
    backup = pulled.after(backup, resumed)
    broken = replace(pulled.READY, backup=pulled.served(pulled.name_of(backup), state="Failed"))
    instead = pulled.decide(backup, pulled.facts(broken, hooks=ended))
    assert {(result.name, result.start_time) for result in instead.status.hooks} == {("hold", None), ("resume", None)}
