"""Whose rules decide about a point: those of its policy, or of its tier; also once that policy was created anew."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from safehold.engine.points.manifest import Manifest
from safehold.retention.rules import RetentionRules
from safehold.run import PolicyRules

_Name = tuple[str, str]
"""A policy's kind and name, and the uid of the namespace that it is bound to, if any."""


class Governors:
    """Finds each point's governor among the rules of one run, and knows the policies that exist."""

    def __init__(self, given: Sequence[PolicyRules], policies: Iterable[str]) -> None:
        self._given = {_governor(each.policy, each.tier): each for each in given}
        self._existing = frozenset(policies) | {each.policy for each in given}
        self._successors: dict[_Name, str] = {(each.name, each.namespace_uid): each.policy for each in given}
        self._rules = {governor: _rules(each) for governor, each in self._given.items()}

    def of(self, manifest: Manifest) -> str | None:
        """Whose rules decide; None where no policy's do. A tier without rules of its own shares the policy's."""
        policy = manifest.policy if manifest.policy in self._existing else self._successor(manifest)
        if policy is None:
            return None
        candidates = (_governor(policy, manifest.tier), _governor(policy, ""))
        return next((governor for governor in candidates if governor in self._given), None)

    def is_orphan(self, manifest: Manifest) -> bool:
        """Whether the policy that made the point is gone, and nobody has taken over."""
        gone = manifest.policy is not None and manifest.policy not in self._existing
        return gone and self._successor(manifest) is None

    def rules_of(self, governors: Iterable[str | None]) -> dict[str, RetentionRules]:
        """The rules of those of them that have any."""
        return {found: self._rules[found] for found in set(governors) if found in self._rules}

    def runs(self) -> Iterator[tuple[str, datetime]]:
        """The runs to come, with the governor of the points that they make."""
        return ((governor, at) for governor, each in self._given.items() for at in each.runs)

    def written(self, governor: str) -> PolicyRules:
        """The rules of this governor, as the run has them."""
        return self._given[governor]

    def _successor(self, manifest: Manifest) -> str | None:
        """The policy that has the name of the one that is gone; a namespace's only for points of that namespace."""
        if manifest.policy is None or not manifest.policy_name:
            return None
        places = (manifest.owner.namespace_uid, "")
        return next((found for place in places if (found := self._successors.get((manifest.policy_name, place)))), None)


def _governor(policy: str, tier: str) -> str:
    return f"{policy} {tier}".rstrip()


def _rules(given: PolicyRules) -> RetentionRules:
    written = given.model_dump(exclude={"policy", "name", "namespace_uid", "tier", "time_zone", "runs"})
    return RetentionRules(**written, zone=ZoneInfo(given.time_zone))
