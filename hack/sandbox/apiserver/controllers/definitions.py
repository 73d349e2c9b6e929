"""Definitions that end: their objects are deleted first, then the definition's finalizer is removed."""

from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.crds import GROUP, PLURAL
from sandbox.apiserver.deletions import DeleteOptions
from sandbox.apiserver.objects import JsonObject, copy_json, is_deleting, name_of
from sandbox.apiserver.rules.definitions import CLEANUP_FINALIZER
from sandbox.apiserver.statuses import ApiError
from sandbox.apiserver.store import StoreEvent


class DefinitionController:
    """Removes the objects of definitions that are being deleted."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._ending = {name_of(item) for item in plane.store.list(GROUP, PLURAL) if is_deleting(item)}
        plane.store.subscribe(GROUP, PLURAL, self._changed)

    def _changed(self, event: StoreEvent) -> None:
        name = event.entry.key.name
        if event.type != "DELETED" and is_deleting(event.entry.document):
            self._ending.add(name)
        else:
            self._ending.discard(name)

    async def run(self) -> float | None:
        """Delete what is left; the change that removes the last object brings the next run."""
        for name in sorted(self._ending):
            definition = self._plane.store.get(GROUP, PLURAL, None, name)
            if definition and CLEANUP_FINALIZER in (definition["metadata"].get("finalizers") or ()):
                await self._clean(definition)
        return None

    async def _clean(self, definition: JsonObject) -> None:
        spec = definition["spec"]
        resource = self._plane.registry.get(spec["group"], spec["names"]["plural"])
        entries = self._plane.store.entries(resource.group, resource.plural) if resource else []
        for entry in entries:
            if resource and not is_deleting(entry.document):
                request = self._plane.request_for(resource, entry.key.namespace, entry.key.name)
                try:
                    await self._plane.deleter.delete(request, DeleteOptions())
                except ApiError as error:
                    if error.code != 404:
                        raise
        if not resource or not self._plane.store.entries(resource.group, resource.plural):
            await self._release(name_of(definition))

    async def _release(self, name: str) -> None:
        def released(current: JsonObject) -> JsonObject:
            item: JsonObject = copy_json(current)
            finalizers = item["metadata"].get("finalizers") or []
            item["metadata"]["finalizers"] = [each for each in finalizers if each != CLEANUP_FINALIZER]
            return item

        resource = self._plane.registry.get(GROUP, PLURAL)
        if resource:
            await self._plane.writer.change(self._plane.request_for(resource, "", name), released)
