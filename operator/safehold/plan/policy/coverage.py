"""Which VMs no policy backs up, and why: nothing that nobody meant to leave out is forgotten."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from safehold.api.policy import ClusterBackupPolicy
from safehold.plan.conditions import STALLED
from safehold.plan.policy.facts import AnyPolicy
from safehold.plan.selection import is_excluded, matches, select_namespaces
from safehold.reasons import Reason

Gap = Literal["NoPolicy", "Suspended", "Stalled", "OptedOut"]
"""NoPolicy: no selector matches. Suspended, Stalled: only policies that start nothing match. OptedOut: by its label."""
GAPS: tuple[Gap, ...] = ("NoPolicy", "Suspended", "Stalled", "OptedOut")


class Located(Protocol):
    """An object as a roster has it. The namespace of a cluster-wide one is empty."""

    @property
    def namespace(self) -> str:
        """Where it is."""

    @property
    def name(self) -> str:
        """What it is called."""

    @property
    def labels(self) -> Mapping[str, str]:
        """What selectors look at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncovered:
    """A VM that no policy backs up, and one sentence about it."""

    namespace: str
    vm: str
    gap: Gap
    why: str


@dataclass(frozen=True, slots=True)
class _Idle:
    """Why a policy starts nothing."""

    gap: Gap
    why: str


def uncovered(
    policies: Iterable[AnyPolicy], machines: Iterable[Located], namespaces: Iterable[Located]
) -> list[Uncovered]:
    """The VMs that no policy backs up, in the given order. One that waits for its target is believed to do so."""
    reach = _reach(policies, list(namespaces))
    return [found for vm in machines if (found := _look(vm, reach[vm.namespace])) is not None]


def _reach(
    policies: Iterable[AnyPolicy], namespaces: list[Located]
) -> defaultdict[str, list[tuple[AnyPolicy, _Idle | None]]]:
    """By namespace, the policies that look for VMs in it; those that start backups come first."""
    found: defaultdict[str, list[tuple[AnyPolicy, _Idle | None]]] = defaultdict(list)
    judged = [(policy, _idle(policy)) for policy in policies]
    for policy, idle in sorted(judged, key=lambda each: each[1] is not None):
        if isinstance(policy, ClusterBackupPolicy):
            reached = [one.name for one in select_namespaces(policy.spec.namespace_selector, namespaces)]
        else:
            reached = [policy.metadata.namespace or ""]
        for namespace in reached:
            found[namespace].append((policy, idle))
    return found


def _look(vm: Located, policies: Iterable[tuple[AnyPolicy, _Idle | None]]) -> Uncovered | None:
    if is_excluded(vm.labels):
        return _uncovered(vm, _Idle("OptedOut", "it has the label safehold.dev/exclude=true"))
    first: _Idle | None = None
    for policy, idle in policies:
        if matches(policy.spec.selector, vm.labels):
            if idle is None:
                return None
            first = first or idle
    return _uncovered(vm, first or _Idle("NoPolicy", "the selectors of no policy match it"))


def _uncovered(vm: Located, idle: _Idle) -> Uncovered:
    return Uncovered(namespace=vm.namespace, vm=vm.name, gap=idle.gap, why=idle.why)


def _idle(policy: AnyPolicy) -> _Idle | None:
    called = f"{policy.kind} {policy.metadata.name}"
    if policy.metadata.deletion_timestamp is not None:
        return _Idle("Stalled", f"{called} matches it, but is being deleted")
    if policy.spec.suspend:
        return _Idle("Suspended", f"{called} matches it, but is suspended")
    for condition in policy.status.conditions:
        # One without VMs says so until it is looked at again; here is one.
        stalled = condition.type == STALLED and condition.status == "True"
        if stalled and condition.reason != Reason.NO_VM_SELECTED:
            return _Idle("Stalled", f"{called} matches it, but starts nothing: {condition.message}")
    return None
