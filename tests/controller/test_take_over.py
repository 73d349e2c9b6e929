"""What a controller takes over from the one before it."""

from typing import Any, cast

from tests.controller.conftest import NOW, SHOP, define, served

from safehold.controller.app import _take_over_runs
from safehold.controller.backups import BackupReconciler, backup_rules
from safehold.controller.freezing import FreezeSlots
from safehold.controller.memo import Operator
from safehold.controller.queue import Key
from safehold.controller.turns import Turns
from safehold.kube.kinds import VM_BACKUP, VM_SNAPSHOT
from safehold.plan.fair_queue import FairQueue
from safehold.plan.names import POLICY_UID

STATUSES: dict[str, dict[str, Any]] = {
    "active": {"startTime": NOW.isoformat()},
    "over": {"startTime": NOW.isoformat(), "completionTime": NOW.isoformat()},
    "waits": {"phase": "Pending"},
    "new": {},
}


async def test_active_runs_keep_their_places_and_waiting_ones_their_turns(operator: Operator) -> None:
    """Before a look at any of them: what is over counts for nothing, and only who has a turn is called."""
    cluster = operator.cluster
    await served(cluster, VM_BACKUP)
    await define(cluster, VM_SNAPSHOT)
    for name, status in STATUSES.items():
        spec = {"vm": {"name": name}, "targetRef": {"kind": "BackupTarget", "name": "own"}}
        metadata = {"name": name, "namespace": SHOP, "labels": {POLICY_UID: "policy"}}
        await cluster.create(VM_BACKUP, {"metadata": metadata, "spec": spec})
        if status:
            patch = {"metadata": {"name": name, "namespace": SHOP}, "status": status}
            await cluster.apply(VM_BACKUP, patch, subresource="status")
    called: list[Key] = []
    reconciler = BackupReconciler(
        operator=operator,
        observer=cast("Any", None),
        hands=cast("Any", None),
        turns=Turns(FairQueue(2), called.append),
        freezing=FreezeSlots(lambda _: None),
        rules=backup_rules(operator.settings, "cluster"),
    )
    await _take_over_runs(cluster, reconciler)
    assert list(reconciler.turns.queue.active) == [(SHOP, "active")]
    assert set(reconciler.turns.queue.waiting) == {(SHOP, "waits"), (SHOP, "new")}
    assert len(called) == 1
    listed = {found["metadata"]["name"]: found for found in await cluster.list(VM_BACKUP)}
    in_line = {name for name, found in listed.items() if reconciler.waits_in_line(found)}
    assert in_line == {"waits"}, "one that does not say yet that it waits is looked at"
    reconciler.turns.queue.leave((SHOP, "waits"))
    assert not reconciler.waits_in_line(listed["waits"]), "nobody would call it"
