"""What is expected of a run: by weekday, of all days, by size, by the fleet; outliers are no matter."""

from datetime import timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from tests.plan.load.objects import DB, GIB, MONDAY, past

from safehold.plan.load.experience import RUNS_KEPT, UNKNOWN_SECONDS, Experience
from safehold.plan.load.history import KnownSize, PastRun, VMKey

TUESDAY = MONDAY + timedelta(days=1)
durations = st.floats(1, 10_000)


def learnt(*runs: PastRun) -> Experience:
    """What these runs taught."""
    experience = Experience()
    for run in runs:
        experience.learn(run)
    return experience


def test_a_day_of_the_week_counts_by_itself() -> None:
    """Mondays take an hour, all other days a minute; three Mondays are enough to know it."""
    runs = [past(3600 if day % 7 == 0 else 60, day) for day in range(1, 24)]
    experience = learnt(*runs)
    assert (experience.estimate(DB, MONDAY).seconds, experience.estimate(DB, TUESDAY).seconds) == (3600, 60)
    assert experience.estimate(DB, MONDAY).basis == "Weekday"
    assert learnt(*runs[:13]).estimate(DB, MONDAY).basis == "AllDays", "one Monday is not enough"


def test_two_thirds_of_a_minute_are_told_from_a_slow_quarter() -> None:
    """Half of the runs take no longer than usual, three quarters no longer than the careful figure."""
    estimate = learnt(*(past(seconds, day) for day, seconds in enumerate([10, 20, 30, 40, 1000]))).estimate(DB, TUESDAY)
    assert (estimate.seconds, estimate.careful_seconds) == (30, 40)


def test_wait_and_bytes_are_learnt_apart() -> None:
    """A long wait is no long run."""
    estimate = learnt(past(60, waited=7200.0, read=5, uploaded=3)).estimate(DB, TUESDAY)
    assert (estimate.seconds, estimate.waited, estimate.read, estimate.uploaded) == (60, 7200, 5, 3)


def test_a_vm_without_runs_is_like_the_fleet() -> None:
    """Without any knowledge at all it is ten minutes; then what is usual; with a size, that at the fleet's speed."""
    new: VMKey = ("shop", "new")
    assert Experience().estimate(new, MONDAY).seconds == UNKNOWN_SECONDS
    fleet = learnt(*(past(100, vm=("shop", f"vm-{number}"), read=10 * GIB) for number in range(5)))
    assert (fleet.estimate(new, MONDAY).seconds, fleet.estimate(new, MONDAY).basis) == (100, "Fleet")
    fleet.note_size(KnownSize(vm=new, size=100 * GIB, seen=MONDAY))
    sized = fleet.estimate(new, MONDAY)
    assert (sized.seconds, sized.read, sized.basis) == (100 + 1000, 100 * GIB, "Size")
    fleet.learn(past(7, vm=new))
    fleet.note_size(KnownSize(vm=new, size=100 * GIB, seen=MONDAY))
    assert fleet.estimate(new, MONDAY).seconds == 7, "its own run tells more"


def test_a_vm_that_was_made_again_is_another_one() -> None:
    """Its lineage is its uid: what the old one took says nothing, in whatever order both are seen."""
    old, new = past(9000, 5), past(60, 1, vm_uid="another")
    for runs in ((old, new), (new, old)):
        assert learnt(*runs).estimate(DB, TUESDAY).seconds == 60


def test_a_vm_without_runs_for_long_is_forgotten() -> None:
    """A VM that is gone takes no memory for ever."""
    experience = learnt(past(60, 3), past(60, 1))
    experience.forget_old(MONDAY + timedelta(days=90))
    assert experience.estimate(DB, MONDAY).basis == "AllDays"
    experience.forget_old(MONDAY + timedelta(days=120))
    assert experience.estimate(DB, MONDAY).basis == "Nothing"


@given(st.lists(durations, min_size=4, max_size=28), st.data())
def test_outliers_change_nothing(usual: list[float], data: st.DataObject) -> None:
    """Of the runs up to a quarter hang, for however long: what is expected stays among the others."""
    spoilt = data.draw(st.sets(st.sampled_from(range(len(usual))), max_size=(len(usual) - 1) // 4))
    runs = [past(1e6 if day in spoilt else seconds, day) for day, seconds in enumerate(usual)]
    estimate = learnt(*runs).estimate(DB, TUESDAY)
    if estimate.basis == "AllDays":
        good = [seconds for day, seconds in enumerate(usual) if day not in spoilt]
        assert min(good) <= estimate.seconds <= estimate.careful_seconds <= max(good)


@given(st.lists(durations, min_size=1, max_size=60), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(seconds: list[float], chance: Random) -> None:
    """A restarted controller is shown the same VMBackups again, in another order."""
    runs = [past(each, day) for day, each in enumerate(seconds)]
    newest = runs[:RUNS_KEPT]
    shuffled = newest * 2
    chance.shuffle(shuffled)
    day = MONDAY + timedelta(days=2)
    assert learnt(*reversed(runs)).estimate(DB, day) == learnt(*shuffled).estimate(DB, day)
