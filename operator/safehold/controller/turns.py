"""Which backups are active, and who is called when a place is free.

Snapshots and volumes are what is scarce, so runs count from the snapshot on.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from safehold.controller.queue import Key
from safehold.plan.fair_queue import Claim, FairQueue


@dataclass(slots=True)
class Turns:
    """The fair queue with the means to call those that wait in it."""

    queue: FairQueue
    call: Callable[[Key], None]
    """Looks at a waiting run's object again."""

    def may_look(self, key: Key, claim: Claim) -> bool:
        """Whether it would be the run's turn; if not, it is called later, and no look at it is needed until then."""
        if key in self.queue.active:
            return True
        # An earlier look knew more of what the run shares with others.
        self.queue.wait(key, self.queue.waiting.get(key, claim))
        return key in self.queue.next_up()

    def take(self, key: Key, claim: Claim, limits: Mapping[str, int | None], *, active: bool = False) -> bool:
        """Ask for a place; one that has it keeps it. A run that is `active` already gets one above the limits.

        `limits` are those of pools as the look found them; None: there is none (any more).
        """
        news = self._learn(limits)
        if key in self.queue.active:
            begins = True
        elif active:
            self.queue.begin(key, claim)
            begins = True
        else:
            # One that turns out to need what is full lets the next one have the turn.
            news |= self.queue.waiting.get(key) != claim
            self.queue.wait(key, claim)
            begins = key in self.queue.next_up()
            if begins:
                self.queue.begin(key, claim)
        if news:
            self.call_next()
        return begins

    def heed(self, limits: Mapping[str, int | None]) -> None:
        """Take over limits that somebody wrote, and call at once those that they let begin."""
        if self._learn(limits):
            self.call_next()

    def give(self, key: Key) -> None:
        """Give a place back, or stop to wait for one."""
        if self.queue.leave(key):
            self.call_next()

    def call_next(self) -> None:
        """Have those looked at whose turn it is."""
        for waiting in self.queue.next_up():
            self.call(waiting)

    def _learn(self, limits: Mapping[str, int | None]) -> bool:
        """Whether a pool takes more than before."""
        raised = False
        for pool, limit in limits.items():
            before = self.queue.limits.pop(pool, None)
            if limit is not None:
                self.queue.limits[pool] = limit
            raised |= before is not None and (limit is None or limit > before)
        return raised
