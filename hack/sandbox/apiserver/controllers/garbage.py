"""The garbage collector: dependents follow their owners, or are orphaned, or hold them (foreground deletion).

Its behaviour with owners in other namespaces is that of recordings of the real one: a child in another namespace than
its owner is deleted although the owner lives; a cluster-scoped child of a namespaced owner stays for ever.
"""

from enum import Enum
from typing import Any

from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.controllers.events import EventRecorder
from sandbox.apiserver.deletions import FOREGROUND_FINALIZER, ORPHAN_FINALIZER, DeleteOptions
from sandbox.apiserver.objects import JsonObject, copy_json, is_deleting, split_api_version
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.statuses import ApiError
from sandbox.apiserver.store import Entry, Key, StoreEvent

_COMPONENT = "garbage-collector-controller"


class _Owner(Enum):
    """What an ownerReference leads to."""

    SOLID = "exists"
    WAITING = "exists, and waits in foreground deletion for its dependents"
    DANGLING = "does not exist"
    UNKNOWN = "cannot be looked up, so the dependent stays"


class GarbageCollector:
    """Checks objects whose owners may have gone, and owners that wait for their dependents."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._events = EventRecorder(plane, _COMPONENT)
        self._suspects: dict[Key, None] = {}
        self._reported: set[tuple[str, str]] = set()
        for group, plural in plane.store.resources():
            for entry in plane.store.entries(group, plural):
                self._suspect(entry)
        plane.store.observe(self._changed)

    def _suspect(self, entry: Entry) -> None:
        metadata = entry.document["metadata"]
        if metadata.get("ownerReferences") or _deletion_finalizer(metadata):
            self._suspects[entry.key] = None

    def _changed(self, event: StoreEvent) -> None:
        if event.type != "DELETED":
            self._suspect(event.entry)
            return
        metadata = event.entry.document["metadata"]
        for dependent in self._plane.store.dependents(metadata["uid"]):
            self._suspects[dependent.key] = None
        for reference in metadata.get("ownerReferences") or ():
            owner = self._plane.store.by_uid(reference["uid"])
            if owner and is_deleting(owner.document):
                self._suspects[owner.key] = None

    async def run(self) -> float | None:
        """Check every suspect once."""
        while self._suspects:
            key = next(iter(self._suspects))
            del self._suspects[key]
            entry = self._plane.store.entry(key)
            if entry:
                await self._check(entry)
        return None

    async def _check(self, entry: Entry) -> None:
        metadata = entry.document["metadata"]
        finalizer = _deletion_finalizer(metadata) if is_deleting(entry.document) else None
        if finalizer == ORPHAN_FINALIZER:
            await self._orphan(entry)
        elif finalizer == FOREGROUND_FINALIZER:
            await self._wait_for_dependents(entry)
        if metadata.get("ownerReferences") and not is_deleting(entry.document):
            await self._check_owners(entry)

    async def _orphan(self, entry: Entry) -> None:
        uid = entry.document["metadata"]["uid"]
        for dependent in self._plane.store.dependents(uid):
            await self._drop_references(dependent, {uid})
        await self._drop_finalizer(entry, ORPHAN_FINALIZER)

    async def _wait_for_dependents(self, entry: Entry) -> None:
        dependents = self._plane.store.dependents(entry.document["metadata"]["uid"])
        for dependent in dependents:
            if not is_deleting(dependent.document):
                self._suspects[dependent.key] = None
        uid = entry.document["metadata"]["uid"]
        if not any(_blocks(dependent.document, uid) for dependent in dependents):
            await self._drop_finalizer(entry, FOREGROUND_FINALIZER)

    async def _check_owners(self, entry: Entry) -> None:
        references = entry.document["metadata"]["ownerReferences"]
        found = {reference["uid"]: self._owner(entry, reference) for reference in references}
        if _Owner.UNKNOWN in found.values():
            return
        gone = {uid for uid, owner in found.items() if owner is not _Owner.SOLID}
        if not gone:
            return
        if len(gone) < len(found):
            await self._drop_references(entry, gone)
            return
        waits = _Owner.WAITING in found.values() and bool(
            self._plane.store.dependents(entry.document["metadata"]["uid"])
        )
        await self._delete(entry, "Foreground" if waits else "Background")

    def _owner(self, entry: Entry, reference: JsonObject) -> _Owner:
        group, _ = split_api_version(reference["apiVersion"])
        resource = self._plane.registry.by_kind(group, reference["kind"])
        if resource is None:
            return _Owner.UNKNOWN
        namespace = entry.key.namespace
        if resource.namespaced and not namespace:
            self._report(entry, reference)
            return _Owner.UNKNOWN
        place = Key(*resource.store_key, namespace if resource.namespaced else "", reference["name"])
        owner = self._plane.store.entry(place)
        if owner is None or owner.document["metadata"]["uid"] != reference["uid"]:
            elsewhere = self._plane.store.by_uid(reference["uid"])
            if elsewhere and elsewhere.key.namespace != namespace:
                self._report(entry, reference)
            return _Owner.DANGLING
        foreground = FOREGROUND_FINALIZER in (owner.document["metadata"].get("finalizers") or ())
        return _Owner.WAITING if foreground and is_deleting(owner.document) else _Owner.SOLID

    def _report(self, entry: Entry, reference: JsonObject) -> None:
        identity = (entry.document["metadata"]["uid"], reference["uid"])
        if identity in self._reported:
            return
        self._reported.add(identity)
        namespace = entry.key.namespace
        owner = f"{reference['apiVersion']}/{reference['kind']}, namespace: {namespace}, name: {reference['name']}"
        message = f'ownerRef [{owner}, uid: {reference["uid"]}] does not exist in namespace "{namespace}"'
        self._events.warn(entry.document, "OwnerRefInvalidNamespace", message)

    async def _drop_references(self, entry: Entry, uids: set[str]) -> None:
        def without(current: JsonObject) -> JsonObject:
            item: JsonObject = copy_json(current)
            references = item["metadata"].get("ownerReferences") or []
            item["metadata"]["ownerReferences"] = [each for each in references if each["uid"] not in uids]
            if not item["metadata"]["ownerReferences"]:
                del item["metadata"]["ownerReferences"]
            return item

        await self._write(entry, without)

    async def _drop_finalizer(self, entry: Entry, finalizer: str) -> None:
        def without(current: JsonObject) -> JsonObject:
            item: JsonObject = copy_json(current)
            finalizers = item["metadata"].get("finalizers") or []
            item["metadata"]["finalizers"] = [each for each in finalizers if each != finalizer]
            return item

        await self._write(entry, without)

    async def _write(self, entry: Entry, change: Any) -> None:
        request = self._request(entry)
        if request:
            await _unless_gone(self._plane.writer.change(request, change))

    async def _delete(self, entry: Entry, propagation: str) -> None:
        request = self._request(entry)
        if request:
            options = DeleteOptions(propagation=propagation, uid=entry.document["metadata"]["uid"])
            await _unless_gone(self._plane.deleter.delete(request, options))

    def _request(self, entry: Entry) -> WriteRequest | None:
        resource = self._plane.registry.get(entry.key.group, entry.key.plural)
        if resource is None:
            return None
        return self._plane.request_for(resource, entry.key.namespace, entry.key.name)


async def _unless_gone(write: Any) -> None:
    """Another write may have been quicker: the object is gone, or is another one now."""
    try:
        await write
    except ApiError as error:
        if error.code not in (404, 409):
            raise


def _deletion_finalizer(metadata: JsonObject) -> str | None:
    finalizers = metadata.get("finalizers") or ()
    return next((name for name in (ORPHAN_FINALIZER, FOREGROUND_FINALIZER) if name in finalizers), None)


def _blocks(dependent: JsonObject, owner_uid: str) -> bool:
    references = dependent["metadata"].get("ownerReferences") or ()
    return any(each["uid"] == owner_uid and each.get("blockOwnerDeletion") for each in references)
