"""What Prometheus can ask for at `/metrics`, except for the numbers of single policies and targets (`figures`).

Labels are namespaces and results, never VMs: their number is bounded. docs/monitoring.md explains each.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from safehold.api.vmbackup import VMBackup, VolumeBackup
from safehold.controller.queue import WorkQueue
from safehold.controller.turns import Turns
from safehold.plan.backup.run import Decision

_MINUTES = (5, 15, 60, 300, 900, 3600, 14400, 43200, 172800)
_FREEZES = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


@dataclass(slots=True)
class Metrics:
    """The controller's metrics, in a registry of their own."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    runs: Counter = field(init=False)
    seconds: Histogram = field(init=False)
    frozen: Histogram = field(init=False)
    moved: Counter = field(init=False)
    last_success: Gauge = field(init=False)
    lied: Counter = field(init=False)
    bases: Gauge = field(init=False)
    depth: Gauge = field(init=False)
    active: Gauge = field(init=False)
    waiting: Gauge = field(init=False)
    heartbeat: Gauge = field(init=False)
    last_round: Gauge = field(init=False)

    def __post_init__(self) -> None:
        labels, registry = ("namespace",), self.registry
        self.runs = Counter(
            "safehold_backups", "Backups that ended, by result (a reason)", (*labels, "result"), registry=registry
        )
        self.seconds = Histogram(
            "safehold_backup_seconds", "From start to end of a run", labels, buckets=_MINUTES, registry=registry
        )
        self.frozen = Histogram(
            "safehold_frozen_seconds", "How long guests were frozen", labels, buckets=_FREEZES, registry=registry
        )
        self.moved = Counter("safehold_bytes", "Bytes of backups that succeeded", (*labels, "kind"), registry=registry)
        self.last_success = Gauge(
            "safehold_last_success_timestamp_seconds", "End of the last good backup", labels, registry=registry
        )
        self.lied = Counter(
            "safehold_changed_blocks_lied",
            "Volumes of which an engine had kept changes silent, as a verification found",
            (*labels, "engine"),
            registry=registry,
        )
        self.bases = Gauge(
            "safehold_changed_blocks_bases", "Snapshots kept to ask what changed since", registry=registry
        )
        self.depth = Gauge(
            "safehold_queue_depth", "Objects that wait for the controller's look", ("kind",), registry=registry
        )
        self.active = Gauge("safehold_active_backups", "Backups that are active", registry=registry)
        self.waiting = Gauge("safehold_waiting_backups", "Backups that wait for their turn", registry=registry)
        self.heartbeat = Gauge(
            "safehold_controller_heartbeat_timestamp_seconds",
            "When the controller last reached the cluster; it stands still while the controller hangs",
            registry=registry,
        )
        self.last_round = Gauge(
            "safehold_controller_last_round_timestamp_seconds",
            "When the controller last finished a round through all objects",
            registry=registry,
        )

    def show_load(self, queues: Iterable[WorkQueue], turns: Turns) -> None:
        """Tell what waits whenever somebody asks."""
        for queue in queues:
            self.depth.labels(queue.name).set_function(queue.depth)
        self.active.set_function(lambda: len(turns.queue.active))
        self.waiting.set_function(lambda: len(turns.queue.waiting))

    def record_lies(self, backup: VMBackup, wrong: Iterable[VolumeBackup]) -> None:
        """Count volumes about which a run was told something wrong."""
        for volume in wrong:
            self.lied.labels(backup.metadata.namespace or "", volume.engine or "").inc()

    def record(self, backup: VMBackup, decision: Decision) -> None:
        """Count a run whose decision ended it."""
        namespace, status = backup.metadata.namespace or "", decision.status
        if backup.status.completion_time is not None or status.completion_time is None:
            return
        self.runs.labels(namespace, status.failure.reason if status.failure else "Succeeded").inc()
        if status.start_time is not None:
            self.seconds.labels(namespace).observe((status.completion_time - status.start_time).total_seconds())
        if status.consistency is not None and status.consistency.frozen_millis is not None:
            self.frozen.labels(namespace).observe(status.consistency.frozen_millis / 1000)
        if status.failure is None:
            self.last_success.labels(namespace).set(status.completion_time.timestamp())
            for kind in ("read", "changed", "uploaded", "stored"):
                self.moved.labels(namespace, kind).inc(getattr(status, f"bytes_{kind}") or 0)
