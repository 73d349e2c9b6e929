"""What every handler and reconcile gets: the cluster, the settings, the clock, and the queues. Kopf calls it memo."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime

from safehold.controller.queue import Key, WorkQueue
from safehold.controller.settings import ControllerSettings
from safehold.kube.client import Cluster
from safehold.plan.target.endpoint import EndpointRules


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One running controller. `queues` are found by the plural name of their kind, such as `vmbackups`."""

    cluster: Cluster
    settings: ControllerSettings
    cluster_id: str
    """uid of the kube-system namespace, which is what tells clusters apart."""
    endpoint_rules: EndpointRules
    now: Callable[[], datetime]
    """The time in UTC, in whole seconds, as statuses carry it."""
    queues: dict[str, WorkQueue] = field(default_factory=dict)
    marks: dict[str, Hashable] = field(default_factory=dict)
    """By uid: what was news about an object the last time that its watch told of it."""
    released: set[str] = field(default_factory=set)
    """uids of objects in deletion that have nothing left to clean up: Kopf may take its finalizer off."""

    def look_at(self, plural: str, namespace: str | None, name: str) -> None:
        """Reconcile an object soon."""
        key: Key = (namespace or "", name)
        if queue := self.queues.get(plural):
            queue.add(key)
