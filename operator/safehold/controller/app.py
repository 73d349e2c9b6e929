"""The running controller: what Kopf needs set, and the parts that live as long as it does."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import kopf
from prometheus_client import CollectorRegistry, start_http_server

from safehold.api.vmbackup import VMBackup
from safehold.controller import policies, restores, targets, watches
from safehold.controller.backup_watch import follow_backups, heed
from safehold.controller.backups import BackupReconciler, backup_rules
from safehold.controller.children import follow_children
from safehold.controller.complaints import complain
from safehold.controller.freezing import FreezeSlots, hold_freezes
from safehold.controller.heartbeat import Heartbeat
from safehold.controller.kopf_storage import NoDiffBase, NoProgress
from safehold.controller.memo import Operator
from safehold.controller.planning import plan_forever
from safehold.controller.populator import Populator
from safehold.controller.queue import Key, Reconcile, WorkQueue
from safehold.controller.settings import ControllerSettings
from safehold.controller.sweep import sweep_forever
from safehold.controller.turns import Turns
from safehold.errors import UsageError
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.hands import BackupHands
from safehold.kube.backup.hooks import HookRuns, OperatorAccount
from safehold.kube.backup.observer import BackupObserver
from safehold.kube.client import Cluster, Manifest, WatchEvent
from safehold.kube.fleet import Fleet
from safehold.kube.kinds import CLAIM, NAMESPACE, VM_BACKUP
from safehold.kube.target.resolution import api_server_addresses
from safehold.plan.backup.turn import claim_of, waits_unseen
from safehold.plan.fair_queue import FairQueue
from safehold.plan.names import FINALIZER, MANAGER
from safehold.plan.target.endpoint import EndpointRules

TOKEN_LIFE = timedelta(minutes=10)
"""How long Kopf may use a token: bound ServiceAccount tokens rotate, and Kopf asks again only when told to."""


def now() -> datetime:
    """The time in whole seconds, as Kubernetes keeps it."""
    return datetime.now(UTC).replace(microsecond=0)


async def run_controller(settings: ControllerSettings, stop: asyncio.Event | None = None) -> None:
    """Run until a signal comes, or `stop` is set."""
    async with (
        Cluster.connect(settings.kubeconfig, timeout_seconds=settings.request_timeout_seconds) as cluster,
        _running(cluster, settings) as operator,
    ):
        port = settings.liveness_port
        await kopf.operator(
            registry=_registry(),
            settings=_kopf_settings(settings),
            memo=operator,
            standalone=True,
            # Kopf would look up the user's name, and the uid that a pod runs under has none.
            identity=MANAGER,  # type: ignore[arg-type]  # its NewType of str is not exported
            clusterwide=not settings.namespaces,
            namespaces=settings.namespaces,
            liveness_endpoint=f"http://0.0.0.0:{port}/healthz" if port else None,
            stop_flag=stop,
        )


@contextlib.asynccontextmanager
async def _running(cluster: Cluster, settings: ControllerSettings) -> AsyncIterator[Operator]:
    """The operator with its queues at work."""
    rules = EndpointRules(allow_local=settings.allow_local_endpoints, api_server=await api_server_addresses(cluster))
    operator = Operator(
        cluster=cluster,
        fleet=Fleet.of(cluster),
        settings=settings,
        cluster_id=(await cluster.read(NAMESPACE, "kube-system"))["metadata"]["uid"],
        endpoint_rules=rules,
        now=now,
    )
    backups = _backups(operator)
    metrics = backups.metrics
    heartbeat = Heartbeat(settings.heartbeat_timeout_seconds, on_beat=metrics.heartbeat.set_to_current_time)
    populator = Populator.of(operator)
    _add_queues(operator, backups, populator, heartbeat)
    metrics.show_load(operator.queues.values(), backups.turns)
    metrics.registry.register(operator.figures)
    version = await _take_over_runs(cluster, backups)
    with _metrics(settings.metrics_port, metrics.registry):
        work = {
            **{queue.name: queue.run() for queue in operator.queues.values()},
            "fleet": operator.fleet.run(),
            "backups": follow_backups(operator, version),
            "children": follow_children(operator),
            "plan": plan_forever(operator, backups.turns),
            "sweep": sweep_forever(operator, metrics, backups.waits_in_line),
            **({"populator": populator.run()} if settings.populator else {}),
            "heartbeat": heartbeat.watch(cluster),
        }
        tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work.items()]
        try:
            yield operator
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _add_queues(operator: Operator, backups: BackupReconciler, populator: Populator, heartbeat: Heartbeat) -> None:
    reconciles: dict[str, Reconcile] = {
        VM_BACKUP.plural: backups.reconcile,
        **policies.reconciles(operator),
        **targets.reconciles(operator, backups.heed),
        **restores.reconciles(operator),
    }
    for plural, reconcile in reconciles.items():
        tell = partial(complain, operator, plural)
        operator.queues[plural] = WorkQueue(plural, reconcile, on_pass=heartbeat.beat, complain=tell)
    if operator.settings.populator:
        operator.queues[CLAIM.plural] = WorkQueue(
            CLAIM.plural, populator.reconcile, on_pass=heartbeat.beat, complain=populator.complain
        )


def _backups(operator: Operator) -> BackupReconciler:
    settings = operator.settings
    freezes = FreezeWatches(operator.cluster)
    hooks = HookRuns(
        operator.cluster,
        OperatorAccount(namespace=settings.operator_namespace, name=settings.service_account),
        wake=partial(operator.look_at, VM_BACKUP.plural),
    )

    def look_again(key: Key) -> None:
        operator.look_at(VM_BACKUP.plural, *key)

    return BackupReconciler(
        operator=operator,
        observer=BackupObserver(
            cluster=operator.cluster,
            namespaces=operator.fleet.namespaces,
            operator_namespace=settings.operator_namespace,
            endpoint_rules=operator.endpoint_rules,
            freezes=freezes,
            pull_enabled=settings.kubevirt_engine,
            classes_limited=bool(settings.max_active_runs_by_storage_class),
            groups_enabled=settings.group_snapshots,
            hooks=hooks,
        ),
        hands=BackupHands(cluster=operator.cluster, pod=settings.worker_pod(), freezes=freezes, hooks=hooks),
        turns=Turns(FairQueue(settings.max_active_runs), look_again),
        freezing=FreezeSlots(look_again),
        rules=backup_rules(settings, operator.cluster_id),
    )


async def _take_over_runs(cluster: Cluster, reconciler: BackupReconciler) -> str:
    """Before anything new is begun: runs of an earlier controller keep their places, others wait in their order.

    All are put before the watch, as what it begins with; the answer is the version from which it goes on.
    """
    active: list[Manifest] = []
    version = ""
    async for page in cluster.pages(VM_BACKUP):
        version = page.resource_version
        for found in page.items:
            heed(reconciler.operator, WatchEvent("LISTED", found))
            if (found.get("status") or {}).get("completionTime"):
                continue
            backup = VMBackup.model_validate(found)
            key = (found["metadata"]["namespace"], found["metadata"]["name"])
            if backup.status.start_time is not None:
                active.append(found)
                reconciler.turns.take(key, claim_of(backup), {}, active=True)
            elif waits_unseen(backup):
                reconciler.turns.queue.wait(key, claim_of(backup))
    await hold_freezes(cluster, active, reconciler.freezing)
    # Also one that is gone by now, and of which no event will tell, must not keep others from their turn.
    reconciler.turns.call_next()
    return version


@contextlib.contextmanager
def _metrics(port: int, registry: CollectorRegistry) -> Iterator[None]:
    if not port:
        yield
        return
    try:
        server, thread = start_http_server(port, registry=registry)
    except OSError as error:
        what = f"Metrics cannot be served at port {port}: {error.strerror}"
        raise UsageError(what, remedy="give SAFEHOLD_METRICS_PORT a free port, or 0 for no metrics") from error
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _registry() -> kopf.OperatorRegistry:
    """The handlers of `watches`, which register themselves when they are imported, and the login."""
    assert watches.object_changed
    return kopf.get_default_registry()


@kopf.on.login()
async def login(memo: Operator, **_: object) -> kopf.ConnectionInfo:
    """Give Kopf the connection that the rest of the controller uses, and make it ask again before a token expires."""
    return kopf.ConnectionInfo(**await memo.cluster.connection.credentials(), expiration=datetime.now(UTC) + TOKEN_LIFE)


def _kopf_settings(settings: ControllerSettings) -> kopf.OperatorSettings:
    """Each with its reason."""
    kopf_settings = kopf.OperatorSettings()
    persistence = kopf_settings.persistence
    persistence.finalizer = FINALIZER
    persistence.progress_storage = NoProgress()
    persistence.diffbase_storage = NoDiffBase()
    kopf_settings.watching.chunk_size = 500
    # Watches that hang without a word are ended by both sides.
    kopf_settings.watching.server_timeout = 600
    kopf_settings.watching.client_timeout = 660
    kopf_settings.networking.connect_timeout = 10
    kopf_settings.networking.request_timeout = settings.request_timeout_seconds
    # At the start every object is handled at once; there is no use in more requests than this side by side.
    kopf_settings.queueing.worker_limit = 50
    # How long a worker waits for more of its object before another object gets its place. With Kopf's own 5 s, 50
    # workers take 10 objects a second, and those that wait, with all that is in them, are kept in memory meanwhile.
    kopf_settings.queueing.idle_timeout = 0.1
    kopf_settings.posting.enabled = False
    # Below a pod's default grace period of 30 s.
    kopf_settings.process.ultimate_exiting_timeout = 20
    return kopf_settings
