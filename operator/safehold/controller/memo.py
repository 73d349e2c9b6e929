"""What every handler and reconcile gets: the cluster, the settings, the clock, and the queues. Kopf calls it memo."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime

from safehold.controller.figures import Figures
from safehold.controller.load import Load
from safehold.controller.queue import Key, WorkQueue
from safehold.controller.settings import ControllerSettings
from safehold.kube.client import Cluster
from safehold.kube.fleet import Fleet
from safehold.kube.outcomes import OutcomeRecord
from safehold.plan.target.endpoint import EndpointRules

POLICY_LAG_SECONDS = 2.0
"""How old a policy's counts of its VMBackups may be. A run of a thousand VMs is as many events."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One running controller. `queues` are found by the plural name of their kind, such as `vmbackups`."""

    cluster: Cluster
    fleet: Fleet
    """Names and labels of the VMs and Namespaces that policies select from."""
    settings: ControllerSettings
    cluster_id: str
    """uid of the kube-system namespace, which is what tells clusters apart."""
    endpoint_rules: EndpointRules
    now: Callable[[], datetime]
    """The time in UTC, in whole seconds, as statuses carry it."""
    load: Load = field(default_factory=Load)
    """What runs cost, and which are likely to be late."""
    queues: dict[str, WorkQueue] = field(default_factory=dict)
    marks: dict[str, Hashable] = field(default_factory=dict)
    """By uid: what was news about an object the last time that its watch told of it."""
    policies: dict[str, tuple[str, Key]] = field(default_factory=dict)
    """By uid: the queue and the key of every policy."""
    outcomes: OutcomeRecord = field(default_factory=OutcomeRecord)
    """Newest points and last failures of the VMs of every policy."""
    figures: Figures = field(default_factory=Figures)
    """What metrics tell about policies and targets."""
    released: set[str] = field(default_factory=set)
    """uids of objects in deletion that have nothing left to clean up: our finalizer may come off."""

    def forget(self, uid: str) -> None:
        """Keep nothing of an object that is gone."""
        self.released.discard(uid)
        self.marks.pop(uid, None)
        self.policies.pop(uid, None)
        self.load.forget(uid)

    def serves(self, namespace: str | None) -> bool:
        """Whether objects of this namespace, or of none, are ours to look at."""
        served = self.settings.namespaces
        return not served or not namespace or namespace in served

    def look_at(self, plural: str, namespace: str | None, name: str) -> None:
        """Reconcile an object soon."""
        key: Key = (namespace or "", name)
        if queue := self.queues.get(plural):
            queue.add(key)

    def look_within(self, plural: str, namespace: str | None, name: str, seconds: float) -> None:
        """Reconcile an object in `seconds` at the latest, once for all that happens until then."""
        if queue := self.queues.get(plural):
            queue.add_within((namespace or "", name), seconds)

    def look_at_policy(self, uid: str) -> None:
        """Reconcile a policy, once for all that happens to its VMBackups within a moment."""
        if place := self.policies.get(uid):
            plural, key = place
            if queue := self.queues.get(plural):
                queue.add_within(key, POLICY_LAG_SECONDS)
