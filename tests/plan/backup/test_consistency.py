"""What KubeVirt's indications prove, and how long the guest was frozen."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.plan.backup.objects import START, new_backup
from tests.plan.backup.world import World

from safehold.plan.backup.capture_facts import SnapshotFacts
from safehold.plan.backup.consistency import reached, suffices
from safehold.plan.backup.facts import FreezeFacts


def snapshot(*indications: str) -> SnapshotFacts:
    """A snapshot that succeeded with these indications, cut two seconds after its creation."""
    world = World(new_backup())
    world.take_snapshot()
    world.snapshot = 2
    facts = world.snapshot_facts()
    assert facts is not None
    return replace(facts, indications=indications)


LEVELS = [
    (("GuestAgent", "Online"), "Filesystem", "froze"),
    (("GuestAgent", "Online", "QuiesceTimeout"), "Crash", "thawed by itself"),
    (("NoGuestAgent", "Online"), "Crash", "no guest agent"),
    (("Online", "Paused"), "Crash", "paused"),
    (("GuestAgent", "Online", "Paused"), "Crash", "paused"),
    ((), "Offline", "was stopped"),
    (("PartialSnapshot",), "Offline", "was stopped"),
]


@pytest.mark.parametrize(("indications", "level", "said"), LEVELS)
def test_the_level_is_what_was_observed(indications: tuple[str, ...], level: str, said: str) -> None:
    """Filesystem needs an agent, and no sign that the freeze did not hold; Offline, that nothing ran."""
    found = reached(snapshot(*indications), None)
    assert found.reached == level
    assert said in found.reason
    assert found.indications == list(indications)


def test_a_vm_that_crashed_is_not_offline() -> None:
    """Between a crash and the next start no instance runs either, but nobody has shut its file systems down."""
    found = reached(snapshot(), None, crashed=True)
    assert (found.reached, "last instance failed" in found.reason) == ("Crash", True)
    assert reached(snapshot("GuestAgent", "Online"), None, crashed=True).reached == "Filesystem"


@pytest.mark.parametrize(
    ("indications", "hooks_succeeded", "level", "said"),
    [
        (("GuestAgent", "Online"), True, "Application", "every hook succeeded"),
        (("GuestAgent", "Online"), False, "Filesystem", "not every hook"),
        (("NoGuestAgent", "Online"), True, "Crash", "no guest agent"),
        ((), True, "Offline", "was stopped"),
    ],
)
def test_application_needs_the_freeze_and_every_hook(
    indications: tuple[str, ...], hooks_succeeded: bool, level: str, said: str
) -> None:
    """Hooks without a freeze prove nothing about the disks, and neither does a freeze without one of the hooks."""
    found = reached(snapshot(*indications), None, hooks_succeeded=hooks_succeeded)
    assert (found.reached, said in found.reason) == (level, True)
    assert (found.frozen_millis is not None) == (level in ("Filesystem", "Application"))


def test_a_freeze_that_was_seen_is_observed() -> None:
    """Both ends seen in the watch: the duration as measured."""
    found = reached(snapshot("GuestAgent", "Online"), FreezeFacts(137, "Observed"))
    assert (found.frozen_millis, found.frozen_observation) == (137, "Observed")


@pytest.mark.parametrize("hooks_succeeded", [None, True])
def test_a_thaw_before_the_last_cut_is_no_freeze(hooks_succeeded: bool | None) -> None:
    """KubeVirt says GuestAgent all the same; its duration would say nothing, and hooks do not make it better."""
    found = reached(
        snapshot("GuestAgent", "Online"), FreezeFacts(137, "Observed", held=False), hooks_succeeded=hooks_succeeded
    )
    assert (found.reached, found.frozen_millis) == ("Crash", None)
    assert "thawed before all volumes were cut" in found.reason


def test_a_freeze_that_was_not_seen_gets_an_upper_bound() -> None:
    """After a restart: at most from the snapshot's creation to its cut, and the second that times are rounded by."""
    found = reached(snapshot("GuestAgent", "Online"), None)
    assert (found.frozen_millis, found.frozen_observation) == (3000, "UpperBound")


def test_without_a_freeze_there_is_no_duration() -> None:
    """Unknown and none are absent, never zero."""
    for indications in (("NoGuestAgent", "Online"), ()):
        assert reached(snapshot(*indications), None).frozen_millis is None
    known = snapshot("GuestAgent", "Online")
    assert known.capture is not None
    uncut = replace(known, capture=replace(known.capture, cut_time=None))
    assert reached(uncut, None).frozen_millis is None


def test_a_clock_that_ran_backwards_gives_no_negative_duration() -> None:
    """Times of different machines: the bound is never below the rounding."""
    known = snapshot("GuestAgent", "Online")
    found = reached(replace(known, created=START + timedelta(minutes=1)), None)
    assert found.frozen_millis == 1000


@pytest.mark.parametrize(
    ("indications", "demanded", "enough"),
    [
        (("GuestAgent", "Online"), "Filesystem", True),
        (("GuestAgent", "Online"), "Crash", True),
        (("NoGuestAgent", "Online"), "Filesystem", False),
        (("NoGuestAgent", "Online"), "Crash", True),
        ((), "Filesystem", True),
        ((), "Crash", True),
    ],
)
def test_a_level_suffices_when_it_is_at_least_the_demanded(
    indications: tuple[str, ...], demanded: str, enough: bool
) -> None:
    """Filesystem satisfies Crash, not the other way round; a stopped VM satisfies both."""
    assert suffices(reached(snapshot(*indications), None), demanded) is enough  # type: ignore[arg-type]  # a table of words
