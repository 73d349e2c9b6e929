"""How many guests of one target may be frozen at once: a target's `maxFrozenVMs`."""

from collections.abc import Callable
from dataclasses import dataclass, field

from safehold.controller.queue import Key
from safehold.controller.slots import RunSlots
from safehold.errors import NotServedError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import VM_SNAPSHOT
from safehold.plan.backup.freezing import FreezeClaim
from safehold.plan.names import MANAGED_BY, MANAGER, OWNER_KIND, OWNER_UID


@dataclass(slots=True)
class FreezeSlots:
    """Slots per target, by its uid. What the cluster shows fills them at the start, and at each look at a run."""

    call: Callable[[Key], None]
    """Looks at a waiting run's object again."""
    _targets: dict[str, RunSlots] = field(default_factory=dict)

    def settle(self, key: Key, claim: FreezeClaim, *, target_uid: str, limit: int | None) -> bool:
        """Whether the run may freeze now. One that may have its guest frozen counts, also above the limit."""
        if claim == "None" or (claim == "Wanted" and limit is None):
            self.give(key)
            return True
        slots = self._targets.setdefault(target_uid, RunSlots(0, self.call))
        if limit is not None:
            slots.limit = limit
        return slots.take(key, active=claim == "Held")

    def heed(self, target_uid: str, limit: int | None) -> None:
        """Take over a limit that somebody wrote, and call at once those that it lets go on; None: there is none."""
        if slots := self._targets.get(target_uid):
            slots.change(limit)

    def give(self, key: Key) -> None:
        """The run's guest is thawed, or will not be frozen."""
        for slots in self._targets.values():
            slots.give(key)


async def hold_freezes(cluster: Cluster, backups: list[Manifest], slots: FreezeSlots) -> None:
    """Count the guests that an earlier controller had KubeVirt freeze, before anything new is begun."""
    try:
        snapshots = await cluster.list(VM_SNAPSHOT, labels={MANAGED_BY: MANAGER, OWNER_KIND: "VMBackup"})
    except NotServedError:  # KubeVirt is not installed
        return
    at_work = {found["metadata"]["labels"].get(OWNER_UID) for found in snapshots if not _is_cut(found)}
    for found in backups:
        metadata, target = found["metadata"], (found.get("status") or {}).get("target") or {}
        if metadata["uid"] in at_work and "uid" in target:
            key = (metadata["namespace"], metadata["name"])
            slots.settle(key, "Held", target_uid=target["uid"], limit=None)


def _is_cut(snapshot: Manifest) -> bool:
    return (snapshot.get("status") or {}).get("phase") in ("Succeeded", "Failed")
