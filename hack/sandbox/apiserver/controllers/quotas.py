"""status.hard and status.used of ResourceQuotas."""

from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.objects import JsonObject, copy_json, name_of
from sandbox.apiserver.quotas import hard_limits, quantity_text, used_in
from sandbox.apiserver.statuses import ApiError
from sandbox.apiserver.store import StoreEvent


class QuotaController:
    """Counts the namespaces that have a quota again after changes in them."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._stale = {item["metadata"]["namespace"] for item in plane.store.list("", "resourcequotas")}
        self._limited = set(self._stale)
        plane.store.observe(self._changed)

    def _changed(self, event: StoreEvent) -> None:
        key = event.entry.key
        if key[:2] == ("", "resourcequotas") and event.type != "DELETED":
            self._limited.add(key.namespace)
        if key.namespace in self._limited:
            self._stale.add(key.namespace)

    async def run(self) -> float | None:
        """Write the status of every quota whose namespace changed."""
        while self._stale:
            namespace = self._stale.pop()
            quotas = self._plane.store.list("", "resourcequotas", namespace)
            if not quotas:
                self._limited.discard(namespace)
            for quota in quotas:
                await self._count(namespace, quota)
        return None

    async def _count(self, namespace: str, quota: JsonObject) -> None:
        hard = hard_limits(quota)
        used = used_in(self._plane.store, self._plane.registry, namespace, hard)
        status = {"hard": hard, "used": {name: quantity_text(amount) for name, amount in used.items()}}
        resource = self._plane.registry.get("", "resourcequotas")
        if resource is None or quota.get("status") == status:
            return
        request = self._plane.request_for(resource, namespace, name_of(quota), subresource="status")
        try:
            await self._plane.writer.change(request, lambda current: {**copy_json(current), "status": status})
        except ApiError as error:
            if error.code != 404:
                raise
