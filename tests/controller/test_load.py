"""What the controller learns and foresees while it runs."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.controller.conftest import NOW, SHOP
from tests.controller.test_policies import at, backups, policy, prepare
from tests.plan.policy.test_decision import VMS
from tests.plan.policy.test_decision import policy as policy_of_tests

from safehold.controller.load import IDLE_PLAN, WAITING_PLAN, Load
from safehold.controller.memo import Operator
from safehold.controller.policies import reconcile_policy
from safehold.controller.queue import Key
from safehold.controller.turns import Turns
from safehold.kube.kinds import BACKUP_POLICY
from safehold.plan.fair_queue import Claim, FairQueue
from safehold.plan.policy.facts import SelectedVM


def over(vm: str, minutes: int, day: int) -> dict[str, Any]:
    """A VMBackup that is over, as a watch shows it."""
    began = NOW - timedelta(days=day)
    return {
        "metadata": {"name": f"{vm}-{day}", "namespace": SHOP, "creationTimestamp": began.isoformat()},
        "spec": {"vm": {"name": vm}},
        "status": {
            "startTime": began.isoformat(),
            "completionTime": (began + timedelta(minutes=minutes)).isoformat(),
            "restorePoint": f"{vm}-{day}",
            "vmUID": f"uid-{vm}",
        },
    }


def waits(turns: Turns, vm: str, policy_uid: str = "policy-uid", since: datetime = NOW) -> None:
    """A VMBackup of the policy waits for its turn."""
    turns.queue.wait((SHOP, f"backup-of-{vm}"), Claim(namespace=SHOP, since=since, vm=vm, policy=policy_uid))


async def busy_plan(load: Load) -> tuple[Turns, list[Key]]:
    """A plan while another run is active, and a backup of `batch` waits: half an hour's work that is due tomorrow."""
    called: list[Key] = []
    turns = Turns(FairQueue(1), called.append)
    for day in range(1, 5):
        load.learn(over("batch", 30, day))
        load.learn(over("db", 25, day))
    batch = SelectedVM(namespace=SHOP, name="batch", uid="uid-batch")
    nightly = policy_of_tests(schedule="0 14 * * *")
    nightly = nightly.model_copy(update={"metadata": nightly.metadata.model_copy(update={"uid": "nightly"})})
    load.expect(nightly, [batch], {}, NOW)
    assert load.expect(policy_of_tests(), VMS, {}, NOW) is None, "nothing is planned yet"
    turns.queue.begin((SHOP, "active"), Claim(namespace=SHOP, since=NOW, vm="batch", policy="nightly"))
    waits(turns, "batch", "nightly", since=NOW - timedelta(minutes=5))
    waits(turns, "db")
    assert await load.plan(turns, NOW) == {"policy-uid", "nightly"}
    return turns, called


async def test_the_run_that_would_be_late_is_called_first() -> None:
    """The batch came first and has until tomorrow; db takes 25 minutes, and is due in an hour."""
    load = Load()
    turns, called = await busy_plan(load)
    turns.give((SHOP, "active"))
    assert called == [(SHOP, "backup-of-db")]
    forecast = load.expect(policy_of_tests(), VMS, {}, NOW)
    assert forecast is not None
    assert (forecast.runs_left, forecast.order) == (1, "Deadline")


async def test_those_that_come_later_are_sorted_too() -> None:
    """Until the next plan each newcomer takes the place that its own deadline gives it."""
    turns, called = await busy_plan(Load())
    waits(turns, "web")
    turns.queue.leave((SHOP, "backup-of-db"))
    turns.give((SHOP, "active"))
    assert called == [(SHOP, "backup-of-web")]


async def test_plans_are_made_more_often_while_somebody_waits() -> None:
    """And at once for a policy that is new, or was edited."""
    load, turns = Load(), Turns(FairQueue(1), lambda _: None)
    assert load.is_due(turns, NOW)
    await load.plan(turns, NOW)
    assert not load.is_due(turns, NOW + WAITING_PLAN)
    assert load.is_due(turns, NOW + IDLE_PLAN)
    waits(turns, "db")
    assert load.is_due(turns, NOW + WAITING_PLAN)
    load.expect(policy_of_tests(), VMS, {}, NOW)
    assert load.is_due(turns, NOW)
    await load.plan(turns, NOW)
    assert not load.is_due(turns, NOW)
    load.expect(policy_of_tests(generation=2), VMS, {}, NOW)
    assert load.is_due(turns, NOW)


async def test_a_policy_that_is_suspended_or_gone_has_no_forecast() -> None:
    """Its appointments are forgotten."""
    load, turns = Load(), Turns(FairQueue(1), lambda _: None)
    load.expect(policy_of_tests(), VMS, {}, NOW)
    await load.plan(turns, NOW)
    assert load.expect(policy_of_tests(), VMS, {}, NOW) is not None
    assert load.expect(policy_of_tests(suspend=True, generation=2), VMS, {}, NOW) is None
    load.expect(policy_of_tests(), VMS, {}, NOW)
    load.forget("policy-uid")
    await load.plan(turns, NOW)
    assert load.expectations.appointments == {}


async def test_the_status_says_when_the_run_is_finished(operator: Operator) -> None:
    """On an API server: VMBackups are created, a plan is made, and the next look writes the forecast, once."""
    await prepare(operator)
    await policy(operator)
    now = at(operator, timedelta())
    turns = Turns(FairQueue(1), lambda _: None)
    await reconcile_policy(now, (SHOP, "gold"))
    assert await backups(operator) == ["db", "web"]
    found = await operator.cluster.read(BACKUP_POLICY, "gold", SHOP)
    for vm in ("db", "web"):
        key = (SHOP, vm)
        turns.queue.wait(key, Claim(namespace=SHOP, since=now.now(), vm=vm, policy=found["metadata"]["uid"]))
    await operator.load.plan(turns, now.now())
    await reconcile_policy(now, (SHOP, "gold"))
    written = await operator.cluster.read(BACKUP_POLICY, "gold", SHOP)
    forecast = written["status"]["forecast"]
    assert (forecast["runsLeft"], forecast["lateMachines"], forecast["order"]) == (2, 0, "Arrival")
    # Nothing is known of these VMs: ten minutes for each, one after the other.
    assert forecast["finishTime"] == (now.now() + timedelta(minutes=20)).strftime("%Y-%m-%dT%H:%M:%SZ")
    await reconcile_policy(replace(now, now=now.now), (SHOP, "gold"))
    again = await operator.cluster.read(BACKUP_POLICY, "gold", SHOP)
    assert again["metadata"]["resourceVersion"] == written["metadata"]["resourceVersion"]
