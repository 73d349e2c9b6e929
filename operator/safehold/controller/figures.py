"""What Prometheus is told about policies, targets and what is left out, as the controller saw each the last time.

Labels are namespaces, policies and targets, never VMs: which of them are behind is in the policy's status. The numbers
of an object that is gone go with it.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from safehold.api.maintenance import MaintenanceStatus
from safehold.api.policy import BackupPolicyStatus
from safehold.api.target import TargetStatus
from safehold.controller.queue import Key
from safehold.plan.conditions import READY, is_true
from safehold.plan.policy.coverage import GAPS, Gap
from safehold.plan.policy.facts import AnyPolicy, PolicyDecision
from safehold.plan.target.use import AnyTarget

_POLICY, _TARGET = ("kind", "namespace", "policy"), ("kind", "namespace", "target")

Place = tuple[str, str, str]
"""Kind, namespace (empty for a cluster-wide object) and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """One policy, and the oldest of the newest points that its VMs have."""

    status: BackupPolicyStatus
    suspended: bool
    oldest_point: datetime | None


_OF_POLICIES: Mapping[str, tuple[str, Callable[[_Policy], float | None]]] = {
    "matched_machines": ("VMs that its selectors match", lambda one: one.status.matched_machines),
    "excluded_machines": (
        "VMs that its selectors match as well, but that opted out",
        lambda one: one.status.excluded_machines,
    ),
    "protected_machines": (
        "VMs with a restore point as recent as its objectives demand",
        lambda one: one.status.protected_machines,
    ),
    "overdue_machines": ("VMs that are behind its objectives", lambda one: one.status.overdue_machines),
    "delayed_machines": (
        "VMs that its circuit breaker holds back",
        lambda one: sum(delayed.failures > 0 for delayed in one.status.delayed_machines),
    ),
    "failed_machines": ("VMs whose backup failed in its last run", lambda one: one.status.failed_machines),
    "ready": ("1 while its runs start as they are due, or it is suspended", lambda one: _ready(one.status)),
    "suspended": ("1 while it is suspended", lambda one: one.suspended),
    "oldest_point_timestamp_seconds": (
        "Point in time of the VM whose newest restore point is the oldest",
        lambda one: _seconds(one.oldest_point),
    ),
    "next_run_timestamp_seconds": (
        "When its next run may start",
        lambda one: _seconds(one.status.next_schedule_time),
    ),
}

_OF_TARGETS: Mapping[str, tuple[str, Callable[[AnyTarget], float | None]]] = {
    "ready": ("1 while it can be used", lambda one: _ready(one.status)),
    "points": ("Restore points after its last maintenance", lambda one: _upkeep(one).points),
    "ungoverned_points": (
        "Restore points that no policy's retention decides about",
        lambda one: _upkeep(one).ungoverned_points,
    ),
    "points_of_deleted_machines": (
        "Restore points of VMs that do not exist any more",
        lambda one: _upkeep(one).points_of_deleted_machines,
    ),
    "forgotten_points": ("Restore points that its last maintenance forgot", lambda one: _upkeep(one).forgotten_points),
    "freed_bytes": ("Bytes that its last maintenance deleted", lambda one: _upkeep(one).freed_bytes),
    "maintenance_failed": ("1 if its last maintenance failed", lambda one: _upkeep(one).failure is not None),
    "last_maintenance_timestamp_seconds": (
        "When its last maintenance ended well",
        lambda one: _seconds(_upkeep(one).last_successful_time),
    ),
    "next_maintenance_timestamp_seconds": (
        "When its maintenance is due; in the past where it is overdue",
        lambda one: _seconds(_upkeep(one).next_time),
    ),
}


# By identity: the registry keeps its collectors as keys.
@dataclass(slots=True, eq=False)
class Figures(Collector):
    """The numbers of objects as they are now. Kept by the event loop; the thread that serves them reads copies."""

    _policies: dict[Place, _Policy] = field(default_factory=dict)
    _targets: dict[Place, AnyTarget] = field(default_factory=dict)
    _missed: Counter[Place] = field(default_factory=Counter)
    _skipped: Counter[Place] = field(default_factory=Counter)
    _uncovered: Mapping[Gap, int] = field(default_factory=dict)
    _held: int | None = None

    def show_policy(self, policy: AnyPolicy, decision: PolicyDecision, points: Iterable[datetime]) -> None:
        """Take over how a policy stands after a look; `points` are the newest ones of its VMs."""
        place = _place(policy)
        self._policies[place] = _Policy(
            status=decision.status, suspended=policy.spec.suspend, oldest_point=min(points, default=None)
        )
        self._missed[place] += len(decision.missed)
        self._skipped[place] += len(decision.skipped)

    def show_target(self, target: AnyTarget) -> None:
        """Take over how a target and its maintenance stand."""
        self._targets[_place(target)] = target

    def show_census(self, uncovered: Iterable[Gap], held: int) -> None:
        """Take over what a round through everything has counted."""
        self._uncovered, self._held = Counter({**dict.fromkeys(GAPS, 0), **Counter(uncovered)}), held

    def drop(self, kind: str, key: Key) -> None:
        """A policy or target is gone."""
        for figures in (self._policies, self._targets, self._missed, self._skipped):
            figures.pop((kind, *key), None)

    def describe(self) -> Iterable[Metric]:
        """The same names, without any sample."""
        return Figures().collect()

    def collect(self) -> Iterator[Metric]:
        """All families, also those that have no sample yet."""
        policies, targets = self._policies.copy(), self._targets.copy()
        for name, (meaning, read) in _OF_POLICIES.items():
            samples = {place: read(policy) for place, policy in policies.items()}
            yield _gauge(f"safehold_policy_{name}", meaning, _POLICY, samples.items())
        missed = "Backups that could not start within startingDeadline"
        yield _counter("safehold_policy_missed_starts", missed, self._missed.copy())
        skipped = "Backups that were left out because the VM's earlier one was active"
        yield _counter("safehold_policy_skipped_starts", skipped, self._skipped.copy())
        for name, (meaning, read_target) in _OF_TARGETS.items():
            found = {place: read_target(target) for place, target in targets.items()}
            yield _gauge(f"safehold_target_{name}", meaning, _TARGET, found.items())
        gaps = {(gap,): number for gap, number in self._uncovered.items()}
        yield _gauge("safehold_uncovered_machines", "VMs that no policy backs up, by reason", ("reason",), gaps.items())
        yield _gauge("safehold_held_backups", "VMBackups whose restore point is held", (), [((), self._held)])


def _gauge(
    name: str, meaning: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float | None]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, meaning, labels=labels)
    for values, number in samples:
        if number is not None:
            family.add_metric(values, number)
    return family


def _counter(name: str, meaning: str, samples: Mapping[Place, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, meaning, labels=_POLICY)
    for place, number in samples.items():
        family.add_metric(place, number)
    return family


def _place(found: AnyPolicy | AnyTarget) -> Place:
    return found.kind, found.metadata.namespace or "", found.metadata.name


def _ready(status: BackupPolicyStatus | TargetStatus) -> bool:
    return is_true(status.conditions, READY)


def _upkeep(target: AnyTarget) -> MaintenanceStatus:
    return target.status.maintenance or MaintenanceStatus()


def _seconds(moment: datetime | None) -> float | None:
    return moment.timestamp() if moment else None
