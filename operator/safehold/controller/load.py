"""Planning ahead: what runs cost is learnt as they end; the order of those that wait is chosen by the minute."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from safehold.api.forecast import Forecast
from safehold.controller.queue import Key
from safehold.controller.turns import Turns
from safehold.plan.load.appointments import appointments_of
from safehold.plan.load.expectations import Expectations
from safehold.plan.load.forecast import Foreseen, forecast_of, foreseen_runs
from safehold.plan.load.history import known_size, past_run
from safehold.plan.load.order import Outlook, choose_order
from safehold.plan.policy.facts import AnyPolicy, SelectedVM
from safehold.plan.policy.outcomes import Outcomes

logger = logging.getLogger(__name__)

WAITING_PLAN = timedelta(minutes=1)
"""How old the order may get while somebody waits."""
IDLE_PLAN = timedelta(minutes=5)
APPOINTMENTS_LAST = timedelta(minutes=1)
"""For how long a policy's appointments are good enough: a large policy is looked at every few seconds."""


@dataclass(frozen=True, slots=True)
class _Known:
    """When a policy's appointments were made, and of which generation with how many VMs."""

    at: datetime
    version: tuple[int, int]


@dataclass(slots=True)
class Load:
    """What is known, and what was planned last. Used from the event loop only."""

    expectations: Expectations = field(default_factory=Expectations)
    _known: dict[str, _Known] = field(default_factory=dict)
    """By the uid of the policy."""
    _begun: dict[Key, datetime] = field(default_factory=dict)
    _outlook: Outlook | None = None
    _foreseen: dict[str, list[Foreseen]] = field(default_factory=dict)
    _planned: datetime | None = None
    _news: set[str] = field(default_factory=set)
    """uids of policies that no plan has taken into account yet."""

    def learn(self, found: Mapping[str, Any]) -> None:
        """Learn from a VMBackup, however often it is shown: what its run took, or at least how large its VM is."""
        if (run := past_run(found)) is not None:
            self.expectations.experience.learn(run)
        elif (size := known_size(found)) is not None:
            self.expectations.experience.note_size(size)

    def expect(
        self, policy: AnyPolicy, vms: Sequence[SelectedVM], outcomes: Outcomes, now: datetime
    ) -> Forecast | None:
        """Take in the policy's appointments, and answer what the last plan foresees for it."""
        uid = policy.metadata.uid
        version = (policy.metadata.generation, len(vms))
        known = self._known.get(uid)
        if known is None or known.version != version or now - known.at >= APPOINTMENTS_LAST:
            appointments = appointments_of(policy, vms, outcomes, now)
            if appointments is None:
                self.forget(uid)
                return None
            self.expectations.appointments[uid] = appointments
            self._known[uid] = _Known(now, version)
            if known is None or known.version != version:
                self._news.add(uid)
        if self._outlook is None:
            return None
        namespaced = policy.metadata.namespace is not None
        return forecast_of(self._foreseen.get(uid, []), self._outlook, now, namespaced=namespaced)

    def forget(self, policy_uid: str) -> None:
        """The policy is gone, or starts nothing."""
        self._known.pop(policy_uid, None)
        self._news.discard(policy_uid)
        self._foreseen.pop(policy_uid, None)
        self.expectations.appointments.pop(policy_uid, None)

    def is_due(self, turns: Turns, now: datetime) -> bool:
        """Whether it is time for another plan."""
        if self._planned is None or self._news:
            return True
        return now - self._planned >= (WAITING_PLAN if turns.queue.waiting else IDLE_PLAN)

    async def plan(self, turns: Turns, now: datetime) -> set[str]:
        """Choose the order of those that wait; answers the uids of policies that have a forecast for the first time."""
        queue, news = turns.queue, self._news
        self._news, self._planned = set(), now
        self._begun = {key: self._begun.get(key) or claim.begun or now for key, claim in queue.active.items()}
        self.expectations.experience.forget_old(now)
        lineup = self.expectations.lineup(queue, self._begun, now)
        # Beside the loop: thousands of runs, played four times, take a second.
        outlook = await asyncio.to_thread(choose_order, lineup)
        if self._outlook is None or outlook.order != self._outlook.order:
            logger.info("backups that wait are sorted by %s from now on", outlook.order)
        self._outlook, self._foreseen = outlook, foreseen_runs(lineup, outlook)
        queue.reorder(self.expectations.rank(outlook.sorting, now))
        # Another may be the next one now, and nobody has called it.
        turns.call_next()
        return news
