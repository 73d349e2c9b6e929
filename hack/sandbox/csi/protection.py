"""The controllers that keep volumes and claims until nobody uses them: pvc-protection and pv-protection."""

from __future__ import annotations

from collections.abc import Iterable

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.controller import Controller
from sandbox.cluster.informer import Key
from sandbox.cluster.kinds import PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, Kind
from sandbox.cluster.metadata import finalizers_of, is_deleting, with_finalizers
from sandbox.csi.caches import Caches
from sandbox.csi.names import PV_PROTECTION, PVC_PROTECTION


def claims_of(pod: Object) -> list[Key]:
    """The claims that a pod uses, generic ephemeral volumes included."""
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    found: list[Key] = []
    for volume in pod["spec"].get("volumes") or []:
        if claim := volume.get("persistentVolumeClaim"):
            found.append((namespace, claim["claimName"]))
        elif "ephemeral" in volume:
            found.append((namespace, f"{name}-{volume['name']}"))
    return found


def claim_in_use(key: Key, pods: Iterable[Object]) -> bool:
    """True if a pod that was given a node names the claim: also one that ended, as long as it exists."""
    return any(pod["spec"].get("nodeName") and key in claims_of(pod) for pod in pods)


class Protection:
    """Adds the finalizers to new objects and takes them away from deleted ones that nobody uses."""

    def __init__(self, cluster: Cluster, caches: Caches) -> None:
        self._cluster = cluster
        self._caches = caches

    async def run_for_claims(self) -> None:
        """pvc-protection; runs until cancelled."""
        controller = Controller(self._cluster, "pvc-protection").watch(self._caches.claims)
        await controller.watch(self._caches.pods, claims_of).run(self._protect_claim)

    async def run_for_volumes(self) -> None:
        """pv-protection; runs until cancelled."""
        controller = Controller(self._cluster, "pv-protection").watch(self._caches.volumes)
        await controller.run(self._protect_volume)

    async def _protect_claim(self, key: Key) -> None:
        claim = self._caches.claims.get(key[1], key[0])
        in_use = claim_in_use(key, self._caches.pods.list(key[0]))
        await self._protect(PERSISTENT_VOLUME_CLAIM, claim, PVC_PROTECTION, in_use=in_use)

    async def _protect_volume(self, key: Key) -> None:
        volume = self._caches.volumes.get(key[1])
        bound = ((volume or {}).get("status") or {}).get("phase") == "Bound"
        await self._protect(PERSISTENT_VOLUME, volume, PV_PROTECTION, in_use=bound)

    async def _protect(self, kind: Kind, obj: Object | None, finalizer: str, *, in_use: bool) -> None:
        if obj is None:
            return
        protected = finalizer in finalizers_of(obj)
        if is_deleting(obj) and protected and not in_use:
            await self._cluster.update(kind, with_finalizers(obj, remove=[finalizer]))
        elif not is_deleting(obj) and not protected:
            await self._cluster.update(kind, with_finalizers(obj, add=[finalizer]))
