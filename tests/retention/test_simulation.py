"""Years of points in moments."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from heapq import merge

from safehold.retention.rules import RetentionRules
from safehold.retention.simulation import Simulated, simulate

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ENDS = tuple(datetime(2026 + number, 1, 1, tzinfo=UTC) for number in (1, 2, 3))


def every(hours: int, first: datetime) -> Iterator[datetime]:
    """Moments without end."""
    while True:
        yield first
        first += timedelta(hours=hours)


def played(rules: RetentionRules, *, hours: int = 24) -> Simulated:
    """Three years of runs every so many hours from 01:00, with a maintenance each day at 04:00."""
    runs, maintenance = every(hours, BEGIN + timedelta(hours=1)), every(24, BEGIN + timedelta(hours=4))
    return simulate({"": rules}, ((run, "") for run in runs), maintenance, year_ends=ENDS, upcoming=3)


def test_points_pile_up_between_two_maintenances() -> None:
    """Four runs a day with keepLast 2: a day's runs come on top of what the last maintenance left."""
    result = played(RetentionRules(keep_last=2), hours=6)
    assert (result.peak, result.peak_at) == (6, BEGIN + timedelta(days=2, hours=1))
    assert result.made == 1096 * 4
    assert result.made - result.forgotten == result.years[-1].points == 5


def test_a_full_set_of_rules_reaches_back_for_years() -> None:
    """Each year adds a yearly point; the oldest is the last of the first year."""
    result = played(RetentionRules(keep_daily=7, keep_monthly=6, keep_yearly=5))
    assert [(end.at, end.points) for end in result.years] == [
        (ENDS[0], 7 + 6),
        (ENDS[1], 7 + 6 + 1),
        (ENDS[2], 7 + 6 + 2),
    ]
    assert result.years[2].oldest == datetime(2026, 12, 31, 1, tzinfo=UTC)
    assert [verdict.rule for verdict in result.kept] == ["keepDaily"] * 7 + ["keepMonthly"] * 6 + ["keepYearly"] * 2


def test_the_next_deletions_come_after_the_end() -> None:
    """They are those of the first maintenances behind the last year, in order, with their reasons."""
    result = played(RetentionRules(keep_last=2))
    assert [(each.at, each.time) for each in result.next] == [
        (ENDS[2] + timedelta(days=number, hours=4), ENDS[2] + timedelta(days=number - 2, hours=1))
        for number in range(3)
    ]
    assert {each.reason for each in result.next} == {"newer points use up keepLast 2"}


def test_without_rules_everything_stays() -> None:
    """Nothing is forgotten, and no deletion is foretold."""
    result = played(RetentionRules())
    assert (result.made, result.forgotten, result.peak, result.next) == (1096, 0, 1096, ())


def test_tiers_keep_their_points_by_their_own_rules() -> None:
    """Runs every six hours that stay for two, beside one a week that stays for three weeks."""
    rules = {"": RetentionRules(keep_last=2), "weekly": RetentionRules(keep_last=3)}
    often = ((run, "") for run in every(6, BEGIN))
    weekly = ((run, "weekly") for run in every(7 * 24, BEGIN + timedelta(hours=1)))
    result = simulate(rules, merge(often, weekly), every(24, BEGIN + timedelta(hours=4)), year_ends=ENDS, upcoming=2)
    kept = [verdict.point.governor for verdict in result.kept if verdict.keep]
    assert (kept.count(""), kept.count("weekly")) == (2, 3)
    assert {each.governor: each.reason for each in result.next} == {"": "newer points use up keepLast 2"}
