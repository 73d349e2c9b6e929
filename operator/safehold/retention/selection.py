"""Which points of one policy and one VM the keep rules choose."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from safehold.retention.periods import Tier, local, tiers_of
from safehold.retention.rules import RetentionRules


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether the rules keep a point, the rule that decided, and why in words."""

    keep: bool
    rule: str
    reason: str


def choose(times: Sequence[datetime], rules: RetentionRules) -> list[Choice]:
    """The choice for each of these times, which are in order, newest first.

    Each rule looks only at what earlier rules left, and counts only periods of which it keeps a point itself.
    """
    made: dict[int, Choice] = {}
    _keep_last(times, rules, made)
    _keep_within(times, rules, made)
    for tier in tiers_of(rules):
        _keep_newest_of_periods(times, rules, tier, made)
    beyond = Choice(False, "", _beyond(rules))
    return [made.get(index, beyond) for index in range(len(times))]


def _keep_last(times: Sequence[datetime], rules: RetentionRules, made: dict[int, Choice]) -> None:
    for index in range(min(rules.keep_last, len(times))):
        made[index] = Choice(True, "keepLast", f"keepLast: number {index + 1} of {rules.keep_last}")


def _keep_within(times: Sequence[datetime], rules: RetentionRules, made: dict[int, Choice]) -> None:
    if rules.keep_within is None or not times:
        return
    since = times[0] - rules.keep_within
    for index, time in enumerate(times):
        if index not in made and time >= since:
            reason = f"keepWithin: within {in_words(rules.keep_within)} of the newest"
            made[index] = Choice(True, "keepWithin", reason)


def _keep_newest_of_periods(
    times: Sequence[datetime], rules: RetentionRules, tier: Tier, made: dict[int, Choice]
) -> None:
    labels = [tier.label(local(time, rules.zone)) for time in times]
    covered = {labels[index] for index, choice in made.items() if choice.keep}
    chosen: set[str] = set()
    for index, label in enumerate(labels):
        if index in made or label in covered:
            continue
        if label in chosen:
            made[index] = Choice(False, tier.rule, f"{tier.rule}: a newer point of the {tier.unit} {label} is kept")
        elif len(chosen) == tier.count:
            return
        else:
            chosen.add(label)
            reason = f"{tier.rule}: newest of the {tier.unit} {label}, number {len(chosen)} of {tier.count}"
            made[index] = Choice(True, tier.rule, reason)


def _beyond(rules: RetentionRules) -> str:
    used = [f"keepLast {rules.keep_last}"] if rules.keep_last else []
    if rules.keep_within is not None:
        used.append(f"keepWithin {in_words(rules.keep_within)}")
    used += [f"{tier.rule} {tier.count}" for tier in tiers_of(rules)]
    return f"newer points use up {', '.join(used)}"


def in_words(time: timedelta) -> str:
    """`90d`, `12h`, `1d6h`: as people write it in a policy."""
    seconds = int(time.total_seconds())
    parts = []
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
