"""Claims that fill themselves: observe, decide, tell, carry out; until there is something to wait for.

A claim has no status of ours, so what people should know are Events on it, each told once.
"""

import asyncio
import logging
from dataclasses import dataclass, field

from safehold.controller.memo import Operator
from safehold.controller.queue import Key
from safehold.errors import SafeholdError
from safehold.kube.events import emit_about
from safehold.kube.kinds import CLAIM, JOB, SECRET
from safehold.kube.populate.observer import PopulateObserver
from safehold.kube.populate.requests import follow_requests
from safehold.kube.restore.hands import RestoreHands
from safehold.plan.names import MANAGED_BY, MANAGER, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE
from safehold.plan.populate.facts import CLAIM_KIND, PopulateDecision, PopulateFacts
from safehold.plan.populate.reconcile import next_step, remove_orphan
from safehold.plan.restore.steps import DeleteJob, Finished, Step, Wait

logger = logging.getLogger(__name__)

_PASSES = 30
"""Decisions in one reconcile; more than a filling has, and few enough that a defect cannot spin."""
_PAUSE_SECONDS = 1.0
"""After a step that others must finish, such as a deletion."""
_REFUSED_SECONDS = 60.0
"""Until a claim that was refused is judged again: its VMBackup, its target or a consent may have come."""


@dataclass(frozen=True, slots=True)
class Populator:
    """Fills claims whose `dataSourceRef` is a VMBackup."""

    operator: Operator
    observer: PopulateObserver
    _told: dict[Key, tuple[str, str, str]] = field(default_factory=dict)
    """By the claim: its uid, and reason and message of the last Event about it."""

    @classmethod
    def of(cls, operator: Operator) -> "Populator":
        """With what the controller has."""
        observer = PopulateObserver(
            cluster=operator.cluster,
            cluster_id=operator.cluster_id,
            operator_namespace=operator.settings.operator_namespace,
            endpoint_rules=operator.endpoint_rules,
        )
        return cls(operator, observer)

    async def run(self) -> None:
        """Look at claims that ask to be filled, and at those that went while something was made for them."""

        def tell(namespace: str, name: str) -> None:
            if self.operator.serves(namespace):
                self.operator.look_at(CLAIM.plural, namespace, name)

        async with asyncio.TaskGroup() as group:
            group.create_task(follow_requests(self.operator.cluster, tell), name="claims")
            group.create_task(self._look_at_work_forever(), name="fillings")

    async def _look_at_work_forever(self) -> None:
        while True:
            try:
                await self._look_at_work()
            except SafeholdError as error:
                logger.warning("claims that are being filled could not be listed: %s", error)
            await asyncio.sleep(self.operator.settings.sweep_seconds)

    async def _look_at_work(self) -> None:
        labels = {MANAGED_BY: MANAGER, OWNER_KIND: CLAIM_KIND}
        for kind in (CLAIM, JOB, SECRET):
            for found in await self.operator.cluster.list(kind, self.observer.operator_namespace, labels=labels):
                owner = found["metadata"]["labels"]
                self.operator.look_at(CLAIM.plural, owner.get(OWNER_NAMESPACE), owner[OWNER_NAME])

    async def reconcile(self, key: Key) -> float | None:
        """Bring one claim as far as it goes now; answers when to look again."""
        if await self._remove_orphans(key):
            return _PAUSE_SECONDS
        for _ in range(_PASSES):
            facts = await self.observer.observe(key[0], key[1], self.operator.now())
            if facts is None:
                self._told.pop(key, None)
                return None
            again = await self._pass(facts)
            if again != 0:
                return again
        return self.operator.settings.poll_seconds

    async def complain(self, key: Key, error: SafeholdError) -> None:
        """Tell on the claim what failed and is tried again."""
        facts = await self.observer.observe(key[0], key[1], self.operator.now())
        if facts is not None:
            await self._tell(facts, _complaint(error))

    async def _pass(self, facts: PopulateFacts) -> float | None:
        decision = next_step(facts)
        if decision.is_warning:
            await self._tell(facts, decision)
        await self._hands(facts.namespace.name).carry_out(decision.step)
        if not decision.is_warning:
            await self._tell(facts, decision)
        return self._again(decision)

    def _again(self, decision: PopulateDecision) -> float | None:
        match decision.step:
            case Finished() if decision.is_warning:
                return _REFUSED_SECONDS
            case Finished():
                return None
            case DeleteJob():
                return _PAUSE_SECONDS
            case Wait():
                return self.operator.settings.poll_seconds
        return 0

    async def _remove_orphans(self, key: Key) -> bool:
        """Take away what was made for claims of this name that are gone; whether something may be left."""
        orphans = await self.observer.orphans(*key)
        steps: list[Step] = [step for orphan in orphans if (step := remove_orphan(orphan)) is not None]
        await asyncio.gather(*(self._hands(key[0]).carry_out(step) for step in steps))
        return bool(steps)

    async def _tell(self, facts: PopulateFacts, decision: PopulateDecision) -> None:
        if decision.event is None:
            return
        ref = facts.claim.ref
        key, told = (ref.namespace, ref.name), (ref.uid, decision.event, decision.message)
        if self._told.get(key) == told:
            return
        self._told[key] = told
        involved = {
            "apiVersion": CLAIM.api_version,
            "kind": CLAIM.kind,
            "name": ref.name,
            "namespace": ref.namespace,
            "uid": ref.uid,
        }
        await emit_about(
            self.operator.cluster,
            involved,
            reason=decision.event,
            message=decision.message,
            warning=decision.is_warning,
            now=self.operator.now(),
        )

    def _hands(self, namespace: str) -> RestoreHands:
        """All with the operator's rights: nothing is created in the claim's namespace."""
        cluster, pod = self.operator.cluster, self.operator.settings.worker_pod()
        return RestoreHands(operator=cluster, tenant=cluster, namespace=namespace, pod=pod)


def _complaint(error: SafeholdError) -> PopulateDecision:
    return PopulateDecision(step=Finished(), event=error.reason.value, message=str(error), is_warning=True)
