"""The task that plans ahead as long as the controller runs."""

import asyncio
import logging

from safehold.controller.memo import Operator
from safehold.controller.turns import Turns

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often it is asked whether a plan is due: at most so long a new policy waits for its forecast."""


async def plan_forever(operator: Operator, turns: Turns, *, look_seconds: float = LOOK_SECONDS) -> None:
    """One plan after another, until cancelled."""
    while True:
        await asyncio.sleep(look_seconds)
        now = operator.now()
        if not operator.load.is_due(turns, now):
            continue
        try:
            for policy in await operator.load.plan(turns, now):
                operator.look_at_policy(policy)
        except Exception:  # edge of the process: runs go on in the order that they have
            logger.exception("a defect in planning")
