"""All runs of the operator at one moment: those in the fair queue, and the next one of each VM of each policy."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from heapq import nsmallest

from safehold.api.forecast import LineOrder
from safehold.plan.fair_queue import Claim, FairQueue, Key
from safehold.plan.load.experience import Experience
from safehold.plan.load.order import place
from safehold.plan.load.projection import ExpectedRun, Standing
from safehold.plan.load.promises import PolicyPromises, Promise

MOST_COMING = 10_000
"""Runs to come that are played ahead, the next ones: two of each VM of a large fleet, in about half a second."""


@dataclass(slots=True)
class Expectations:
    """What is learnt and promised, and with it what is expected of any run."""

    experience: Experience = field(default_factory=Experience)
    promises: dict[str, PolicyPromises] = field(default_factory=dict)
    """By the uid of the policy."""

    def of(self, key: Key, claim: Claim, now: datetime, begun: datetime | None = None) -> ExpectedRun:
        """What is expected of a run that is in the queue; `begun` of one that is active."""
        promise = self._promise(claim)
        ready = begun or now
        estimate = self.experience.estimate((claim.namespace, claim.vm), ready)
        return ExpectedRun(
            key=key,
            claim=claim,
            ready=ready,
            seconds=estimate.seconds,
            careful_seconds=estimate.careful_seconds,
            due=self._due(claim, promise),
            promise=promise,
        )

    def rank(self, order: LineOrder, now: datetime) -> "Ranking":
        """The order for the lines of the queue, also for runs that come later."""
        return Ranking(self, order, now)

    def standing(self, queue: FairQueue, begun: Mapping[Key, datetime], now: datetime) -> Standing:
        """All runs. `begun` is when active ones became so; the longest ago that is known."""
        return Standing(
            now=now,
            limit=queue.limit,
            limits=dict(queue.limits),
            active=tuple(self.of(key, claim, now, begun.get(key, now)) for key, claim in queue.active.items()),
            waiting=tuple(self.of(key, claim, now) for key, claim in queue.waiting.items()),
            coming=tuple(self._coming(queue, now)),
        )

    def _coming(self, queue: FairQueue, now: datetime) -> Iterator[ExpectedRun]:
        claims = (*queue.active.values(), *queue.waiting.values())
        unfinished = {(claim.policy, claim.namespace, claim.vm) for claim in claims}
        following = (
            (promise.moment, policy, vm, promise)
            for policy, promises in self.promises.items()
            for vm, promise in promises.next.items()
            if promise.moment > now
        )
        for moment, policy, vm, promise in nsmallest(MOST_COMING, following, key=lambda one: one[:3]):
            pool = self.promises[policy].pools[vm[0]]
            claim = Claim(namespace=vm[0], since=moment, pools=frozenset((pool,)), vm=vm[1], policy=policy)
            estimate = self.experience.estimate(vm, moment)
            yield ExpectedRun(
                # No object's name has a slash: nothing in the queue is called so.
                key=(vm[0], f"{policy}/{vm[1]}"),
                claim=claim,
                ready=moment,
                seconds=estimate.seconds,
                careful_seconds=estimate.careful_seconds,
                due=self._due(claim, promise, renewed=(policy, *vm) in unfinished),
                promise=promise,
            )

    def _promise(self, claim: Claim) -> Promise | None:
        promises, vm = self.promises.get(claim.policy), (claim.namespace, claim.vm)
        if promises is None:
            return None
        following = promises.next.get(vm)
        # Promises are renewed now and then: what was the next run may be in the queue already.
        if following is not None and following.moment <= claim.since:
            return following
        return promises.last.get(vm)

    def _due(self, claim: Claim, promise: Promise | None, *, renewed: bool = False) -> datetime | None:
        """`renewed`: the VM gets another point before."""
        if promise is None:
            return None
        objective = self.promises[claim.policy].objective
        if objective is None:
            return promise.due
        newest = None if renewed else self.experience.newest_point((claim.namespace, claim.vm))
        return (newest or promise.moment) + objective


@dataclass(frozen=True, slots=True)
class Ranking:
    """A rank by one order, of runs as they are expected to be."""

    expectations: Expectations
    order: LineOrder
    now: datetime

    def __call__(self, key: Key, claim: Claim) -> datetime:
        """By which time the run is sorted."""
        return place(self.expectations.of(key, claim, self.now), self.order)
