"""VMBackups that wait for their turn, on an API server with Safehold's definitions."""

from typing import Any, cast

import pytest
from tests.controller.conftest import NOW, SHOP, served

from safehold.controller.backups import BackupReconciler, backup_rules, paced
from safehold.controller.freezing import FreezeSlots
from safehold.controller.memo import Operator
from safehold.controller.turns import Turns
from safehold.errors import SafeholdError
from safehold.kube.client import Manifest
from safehold.kube.kinds import EVENT, VM_BACKUP
from safehold.plan.fair_queue import Claim, FairQueue
from safehold.plan.names import POLICY_UID

KEY = (SHOP, "waits")


class SeenError(SafeholdError):
    """The VMBackup was looked at, and the look failed."""


class Observer:
    """Tells that it was asked."""

    async def observe(self, _: object) -> None:
        """A look at everything that a decision depends on."""
        raise SeenError("the VMBackup was looked at")


def reconciler(operator: Operator, *, active: int) -> BackupReconciler:
    """With one place, and so many active runs of another namespace."""
    turns = Turns(FairQueue(1), lambda _: None)
    for number in range(active):
        turns.queue.begin(("bank", str(number)), Claim(namespace="bank", since=NOW))
    return BackupReconciler(
        operator=operator,
        observer=cast("Any", Observer()),
        hands=cast("Any", None),
        turns=turns,
        freezing=FreezeSlots(lambda _: None),
        rules=backup_rules(operator.settings, "cluster"),
    )


async def create(operator: Operator, **labels: str) -> None:
    """A VMBackup that nothing has happened to."""
    await served(operator.cluster, VM_BACKUP)
    spec = {"vm": {"name": "db"}, "targetRef": {"kind": "BackupTarget", "name": "own"}}
    metadata = {"name": "waits", "namespace": SHOP, "labels": labels}
    await operator.cluster.create(VM_BACKUP, {"metadata": metadata, "spec": spec})


async def found(operator: Operator) -> Manifest:
    """The VMBackup."""
    return await operator.cluster.read(VM_BACKUP, "waits", SHOP)


async def test_a_policys_backup_waits_without_a_look(operator: Operator) -> None:
    """One write says that it waits; later looks write nothing, and there is no Event for each of thousands."""
    await create(operator, **{POLICY_UID: "policy"})
    waiting = reconciler(operator, active=1)
    assert await waiting.reconcile(KEY) is None
    first = await found(operator)
    assert first["status"]["phase"] == "Pending"
    assert await waiting.reconcile(KEY) is None
    assert (await found(operator))["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert await operator.cluster.list(EVENT, SHOP) == []
    assert KEY in waiting.turns.queue.waiting


async def test_when_its_turn_comes_it_is_looked_at(operator: Operator) -> None:
    """With a free place there is nothing to wait for."""
    await create(operator, **{POLICY_UID: "policy"})
    due = reconciler(operator, active=0)
    with pytest.raises(SeenError):
        await due.reconcile(KEY)
    assert not due.turns.queue.waiting, "a look that fails must not keep others from their turn"


async def test_what_a_person_made_is_looked_at_at_once(operator: Operator) -> None:
    """Its mistakes are told though it has to wait."""
    await create(operator)
    with pytest.raises(SeenError):
        await reconciler(operator, active=1).reconcile(KEY)


@pytest.mark.parametrize(
    ("asked", "polled", "again"), [(2.0, 0, 2.0), (2.0, 10, 2.0), (2.0, 500, 100.0), (None, 500, None)]
)
def test_many_runs_are_polled_more_rarely(asked: float | None, polled: int, again: float | None) -> None:
    """Up to ten as often as asked for; five hundred every 100 s, five of them a second."""
    assert paced(asked, polled) == again
