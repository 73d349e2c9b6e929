"""What stands above the keep rules, and what holds whatever points and rules there are."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.retention.points import POLICY, daily, kept, points

from safehold.retention.forecast import next_deletions
from safehold.retention.rules import RetentionRules
from safehold.retention.verdicts import Machine, Point, Verdict, going, judge

NOW = datetime(2026, 11, 23, tzinfo=UTC)
LAST = RetentionRules(keep_last=1)
DELETE = RetentionRules(keep_last=1, after_vm_deleted="Delete", deleted_vm_grace=timedelta(days=30))
FIVE = points(daily("2026-11-22 12:00", 5))


def verdicts(found: Iterable[Point], rules: RetentionRules = LAST, machine: Machine | None = None) -> list[Verdict]:
    """The verdicts of a VM that exists, unless another is given."""
    return judge(found, {POLICY: rules}, machine or Machine(), NOW)


def changed(index: int, **changes: Any) -> list[Point]:
    """The five points, one of them otherwise."""
    found = list(FIVE)
    found[index] = replace(found[index], **changes)
    return found


def test_a_held_point_stays_and_uses_up_nothing() -> None:
    """The newest is held: the rule keeps the next one besides."""
    found = verdicts(changed(0, held=True))
    assert kept(found) == [point.id for point in FIVE[:2]]
    assert found[0].rule == "hold"


def test_points_that_no_policy_governs_stay() -> None:
    """Those made by hand, and those of a policy that is gone, are no business of another policy."""
    found = [*points(daily("2026-11-21 06:00", 2), None), *points(daily("2026-11-11", 2), "gone"), *FIVE]
    assert kept(verdicts(found)) == [
        FIVE[0].id,
        "2026-11-21 06:00",
        "2026-11-20 06:00",
        "2026-11-11 00:00",
        "2026-11-10 00:00",
    ]


def test_each_policy_counts_its_own_points() -> None:
    """A point of one policy does not use up what another keeps."""
    found = judge(
        [*FIVE, *points(daily("2026-11-21 06:00", 3), "other")], {POLICY: LAST, "other": LAST}, Machine(), NOW
    )
    assert kept(found) == [FIVE[0].id, "2026-11-21 06:00"]


def test_the_newest_verified_point_stays() -> None:
    """Of a VM that exists there is always a point of which every disk was read."""
    found = [replace(point, verified=index == 3) for index, point in enumerate(FIVE)]
    stays = [verdict for verdict in verdicts(found) if verdict.keep]
    assert [(verdict.point.id, verdict.rule) for verdict in stays] == [
        (FIVE[0].id, "keepLast"),
        (FIVE[3].id, "lastVerified"),
    ]


def test_nothing_goes_before_its_minimum_age() -> None:
    """The rules keep one, but the others are not old enough yet."""
    rules = RetentionRules(keep_last=1, minimum_age=timedelta(days=3))
    assert kept(verdicts(FIVE, rules)) == [point.id for point in FIVE[:3]]


def test_without_a_keep_rule_everything_stays() -> None:
    """A policy that says only what happens after the VM is deleted keeps the points of VMs that exist."""
    assert len(kept(verdicts(FIVE, RetentionRules(after_vm_deleted="Delete")))) == 5


@pytest.mark.parametrize(
    ("rules", "gone_since", "stay"),
    [
        pytest.param(LAST, NOW - timedelta(days=999), 5, id="Keep"),
        pytest.param(DELETE, None, 5, id="Delete, noticed just now"),
        pytest.param(DELETE, NOW - timedelta(days=30) + timedelta(seconds=1), 5, id="Delete, within the grace"),
        pytest.param(DELETE, NOW - timedelta(days=30), 0, id="Delete, after it"),
    ],
)
def test_after_the_vm_was_deleted(rules: RetentionRules, gone_since: datetime | None, stay: int) -> None:
    """With Keep all points stay; with Delete all go at the end of the grace, the last one too."""
    assert len(kept(verdicts(FIVE, rules, Machine(exists=False, gone_since=gone_since)))) == stay


def test_a_held_point_outlives_its_vm() -> None:
    """Delete spares what is held."""
    gone = Machine(exists=False, gone_since=NOW - timedelta(days=31))
    assert kept(verdicts(changed(4, held=True), DELETE, gone)) == [FIVE[4].id]


def test_the_oldest_goes_first() -> None:
    """A deletion that is cut off leaves the newest."""
    assert [verdict.point.id for verdict in going(verdicts(FIVE))] == [point.id for point in FIVE[:0:-1]]


def test_the_next_deletions_are_those_that_the_next_run_makes_superfluous() -> None:
    """With five points that all stay, the run to come pushes out the oldest."""
    run = NOW + timedelta(hours=1)
    rules = {POLICY: RetentionRules(keep_last=5)}
    found = next_deletions(FIVE, rules, Machine(), [(run, POLICY), (run + timedelta(days=1), POLICY)], NOW)
    assert [(deletion.at, deletion.verdict.point.id) for deletion in found] == [(run, FIVE[4].id)]
    assert next_deletions(FIVE, rules, Machine(), [], NOW) == []


def test_the_next_deletions_of_a_vm_that_is_gone_come_with_the_end_of_its_grace() -> None:
    """All of them, at once; with Keep there are none."""
    gone = Machine(exists=False, gone_since=NOW - timedelta(days=10))
    found = next_deletions(FIVE, {POLICY: DELETE}, gone, [], NOW)
    assert [deletion.at for deletion in found] == [NOW + timedelta(days=20)] * 5
    assert next_deletions(FIVE, {POLICY: LAST}, gone, [], NOW) == []


COUNTS = st.integers(0, 4)
RULES = st.builds(
    RetentionRules,
    keep_last=COUNTS,
    keep_within=st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=9)),
    keep_hourly=COUNTS,
    keep_daily=COUNTS,
    keep_weekly=COUNTS,
    keep_monthly=COUNTS,
    keep_yearly=COUNTS,
    minimum_age=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=9)),
    after_vm_deleted=st.sampled_from(["Keep", "Delete"]),
    zone=st.sampled_from([ZoneInfo("UTC"), ZoneInfo("Europe/Berlin"), ZoneInfo("Australia/Lord_Howe")]),
)
AGES = st.integers(0, 3 * 365 * 24) | st.integers(0, 20 * 24)
CATALOGUES = st.lists(
    st.builds(
        lambda age, governor, verified, held: Point(
            id="", time=NOW - timedelta(hours=age), governor=governor, verified=verified, held=held
        ),
        AGES,
        st.sampled_from([POLICY, POLICY, POLICY, "other", "gone", None]),
        st.booleans(),
        st.sampled_from([False] * 5 + [True]),
    ),
    max_size=40,
).map(lambda found: [replace(point, id=str(number)) for number, point in enumerate(found)])


@given(CATALOGUES, RULES, RULES)
def test_a_vm_that_exists_is_never_stranded(found: list[Point], one: RetentionRules, other: RetentionRules) -> None:
    """Its newest point, its newest verified one, held ones and those of nobody stay, under any rules."""
    stays = set(kept(judge(found, {POLICY: one, "other": other}, Machine(), NOW)))
    newest_first = sorted(found, key=lambda point: (point.time, point.id), reverse=True)
    must = {point.id for point in found if point.held or point.governor in (None, "gone")}
    must |= {point.id for point in newest_first[:1]}
    must |= {point.id for point in [point for point in newest_first if point.verified][:1]}
    assert must <= stays


@given(CATALOGUES, RULES, st.data())
def test_deciding_again_after_a_part_was_deleted_comes_to_the_same(
    found: list[Point], rules: RetentionRules, data: st.DataObject
) -> None:
    """A maintenance that is killed anywhere and started again leaves what one that was not killed leaves."""
    first = judge(found, {POLICY: rules}, Machine(), NOW)
    doomed = [verdict.point for verdict in going(first)]
    deleted = set(data.draw(st.sets(st.sampled_from(doomed)) if doomed else st.just(set())))
    again = judge([point for point in found if point not in deleted], {POLICY: rules}, Machine(), NOW)
    assert kept(again) == kept(first)


@given(CATALOGUES, RULES)
def test_every_rule_keeps_as_many_periods_as_it_says_and_there_are(found: list[Point], rules: RetentionRules) -> None:
    """None keeps more; and where one keeps fewer, no point that goes is of a period of which none stays."""
    own = [replace(point, governor=POLICY, held=False) for point in found]
    plain = replace(rules, minimum_age=timedelta())
    if not plain.keeps_something:
        return
    found_verdicts = judge(own, {POLICY: plain}, Machine(), NOW)
    counts = {
        "keepLast": plain.keep_last,
        "keepHourly": plain.keep_hourly,
        "keepDaily": plain.keep_daily,
        "keepWeekly": plain.keep_weekly,
        "keepMonthly": plain.keep_monthly,
        "keepYearly": plain.keep_yearly,
    }
    used = {rule: sum(verdict.keep and verdict.rule == rule for verdict in found_verdicts) for rule in counts}
    assert all(used[rule] <= count for rule, count in counts.items())
    if plain.keep_yearly and used["keepYearly"] < plain.keep_yearly:
        years = {verdict.point.time.astimezone(plain.zone).year for verdict in found_verdicts if verdict.keep}
        assert years == {verdict.point.time.astimezone(plain.zone).year for verdict in found_verdicts}


@given(CATALOGUES, RULES, st.integers(0, 60))
def test_a_vm_that_is_gone_loses_nothing_within_its_grace(found: list[Point], rules: RetentionRules, days: int) -> None:
    """Before the end of the grace everything stays; after it, only what is held, young, or governed by no such rule."""
    gone = Machine(exists=False, gone_since=NOW - timedelta(days=days))
    stays = set(kept(judge(found, {POLICY: rules}, gone, NOW)))
    if rules.after_vm_deleted == "Keep" or timedelta(days=days) < rules.deleted_vm_grace:
        assert stays == {point.id for point in found}
        return
    assert stays == {
        point.id for point in found if point.held or point.governor != POLICY or NOW - point.time < rules.minimum_age
    }
