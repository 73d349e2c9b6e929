"""The task that plans ahead."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.controller.conftest import NOW, SHOP
from tests.plan.policy.test_decision import VMS, policy

from safehold.controller.memo import Operator
from safehold.controller.planning import plan_forever
from safehold.controller.queue import Key, WorkQueue
from safehold.controller.settings import ControllerSettings
from safehold.controller.turns import Turns
from safehold.kube.kinds import BACKUP_POLICY
from safehold.plan.fair_queue import FairQueue
from safehold.plan.load.appointments import PolicyAppointments
from safehold.plan.load.history import VMKey


def an_operator() -> Operator:
    """Without a cluster: planning asks for none."""
    nothing: Any = None
    return Operator(
        cluster=nothing,
        fleet=nothing,
        settings=ControllerSettings(),
        cluster_id="cluster",
        endpoint_rules=nothing,
        now=lambda: NOW,
    )


@asynccontextmanager
async def planning(operator: Operator, turns: Turns) -> AsyncIterator[None]:
    """The task at work."""
    task = asyncio.create_task(plan_forever(operator, turns, look_seconds=0.01))
    try:
        async with asyncio.timeout(180):
            yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_new_policy_is_looked_at_once_it_has_a_forecast() -> None:
    """So that its status tells it before the next look would come by itself."""
    operator, turns = an_operator(), Turns(FairQueue(1), lambda _: None)
    seen = asyncio.Queue[Key]()

    async def reconcile(key: Key) -> None:
        await seen.put(key)

    queue = operator.queues[BACKUP_POLICY.plural] = WorkQueue(BACKUP_POLICY.plural, reconcile)
    operator.policies["policy-uid"] = (BACKUP_POLICY.plural, (SHOP, "gold"))
    operator.load.expect(policy(), VMS, {}, NOW)
    worker = asyncio.create_task(queue.run())
    async with planning(operator, turns):
        assert await seen.get() == (SHOP, "gold")
    worker.cancel()
    await asyncio.gather(worker, return_exceptions=True)
    assert operator.load.expect(policy(), VMS, {}, NOW) is not None


async def test_a_defect_stops_no_later_plan() -> None:
    """Runs go on in the order that they have, and the next plan is made."""
    operator, turns = an_operator(), Turns(FairQueue(1), lambda _: None)
    operator.load.expect(policy(), VMS, {}, NOW)
    whole = operator.load.expectations.appointments["policy-uid"]
    broken: dict[VMKey, Any] = {("shop", "db"): None}
    operator.load.expectations.appointments["policy-uid"] = PolicyAppointments(last={}, next=broken, pools={})
    async with planning(operator, turns):
        while operator.load.is_due(turns, NOW):  # noqa: ASYNC110 - a plan that fails tells nobody
            await asyncio.sleep(0.01)
        assert operator.load.expect(policy(), VMS, {}, NOW) is None
        operator.load.expectations.appointments["policy-uid"] = whole
        operator.load.expect(policy(generation=2), VMS, {}, NOW)
        while operator.load.expect(policy(generation=2), VMS, {}, NOW) is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.01)
