"""Namespaces that end: their content is deleted, conditions tell what is left, and the namespace goes last."""

import asyncio
from collections import Counter
from datetime import timedelta

from sandbox.apiserver.control_plane import ControlPlane
from sandbox.apiserver.deletions import DeleteOptions
from sandbox.apiserver.objects import JsonObject, copy_json, format_time, is_deleting, parse_time
from sandbox.apiserver.registry import Resource
from sandbox.apiserver.statuses import ApiError, qualified
from sandbox.apiserver.store import Entry, StoreEvent
from sandbox.apiserver.writer import Change

_RECHECK_SECONDS = 5.0
_OK_CONDITIONS = (
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
)


class NamespaceController:
    """Empties namespaces that are being deleted."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._ending: set[str] = set()
        for entry in plane.store.entries("", "namespaces"):
            if is_deleting(entry.document):
                self._ending.add(entry.key.name)
        plane.store.subscribe("", "namespaces", self._changed)

    def _changed(self, event: StoreEvent) -> None:
        if event.type == "DELETED":
            self._ending.discard(event.entry.key.name)
        elif is_deleting(event.entry.document):
            self._ending.add(event.entry.key.name)

    async def run(self) -> float | None:
        """Work on every namespace whose delay is over."""
        waits = [wait for name in sorted(self._ending) if (wait := await self._end(name)) is not None]
        return min(waits, default=None)

    async def _end(self, name: str) -> float | None:
        namespace = self._plane.store.get("", "namespaces", None, name)
        if namespace is None:
            return None
        delay = timedelta(seconds=self._plane.settings.namespace_delay_seconds)
        wait = (parse_time(namespace["metadata"]["deletionTimestamp"]) + delay - self._plane.now()).total_seconds()
        if wait > 0:
            return wait
        await self._delete_content(name)
        remaining = self._content(name)
        await self._write_conditions(name, remaining)
        if remaining:
            return _RECHECK_SECONDS
        await self._finalize(name)
        return None

    def _content(self, namespace: str) -> list[tuple[Resource, Entry]]:
        return [
            (resource, entry)
            for resource in self._plane.registry
            if resource.namespaced and resource.stored_as is None
            for entry in self._plane.store.entries(*resource.store_key, namespace)
        ]

    async def _delete_content(self, namespace: str) -> None:
        """Pods go first: what they use is deleted only after they have ended."""
        content = self._content(namespace)
        pods = [(resource, entry) for resource, entry in content if entry.key[:2] == ("", "pods")]
        for resource, entry in pods or content:
            if is_deleting(entry.document):
                continue
            request = self._plane.request_for(resource, namespace, entry.key.name)
            try:
                await self._plane.deleter.delete(request, DeleteOptions())
            except ApiError as error:
                if error.code != 404:
                    raise
            await asyncio.sleep(0)
        if pods and not self._plane.store.entries("", "pods", namespace):
            await self._delete_content(namespace)

    async def _write_conditions(self, name: str, remaining: list[tuple[Resource, Entry]]) -> None:
        now = format_time(self._plane.now())
        wanted = _conditions(remaining)

        def with_conditions(current: JsonObject) -> JsonObject:
            item: JsonObject = copy_json(current)
            before = {each["type"]: each for each in item["status"].get("conditions") or ()}
            item["status"]["conditions"] = [
                {**each, "lastTransitionTime": _time_of(before.get(each["type"]), each, now)} for each in wanted
            ]
            return item

        await self._change(name, "status", with_conditions)

    async def _finalize(self, name: str) -> None:
        def without(current: JsonObject) -> JsonObject:
            item: JsonObject = copy_json(current)
            item["spec"]["finalizers"] = [each for each in item["spec"].get("finalizers") or () if each != "kubernetes"]
            return item

        await self._change(name, "finalize", without)

    async def _change(self, name: str, subresource: str, change: Change) -> None:
        resource = self._plane.registry.get("", "namespaces")
        if resource:
            request = self._plane.request_for(resource, "", name, subresource=subresource)
            await self._plane.writer.change(request, change)


def _time_of(before: JsonObject | None, condition: JsonObject, now: str) -> str:
    if before and before["status"] == condition["status"]:
        return str(before["lastTransitionTime"])
    return now


def _conditions(remaining: list[tuple[Resource, Entry]]) -> list[JsonObject]:
    kinds = Counter(_resource_name(resource) for resource, _ in remaining)
    finalizers = Counter(name for _, entry in remaining for name in entry.document["metadata"].get("finalizers") or ())
    return [
        *(_condition(kind, reason, message) for kind, reason, message in _OK_CONDITIONS),
        _remaining_content(kinds),
        _remaining_finalizers(finalizers),
    ]


def _condition(kind: str, reason: str, message: str, *, status: str = "False") -> JsonObject:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def _remaining_content(kinds: Counter[str]) -> JsonObject:
    kind = "NamespaceContentRemaining"
    if not kinds:
        return _condition(kind, "ContentRemoved", "All content successfully removed")
    parts = ", ".join(f"{name} has {count} resource instances" for name, count in sorted(kinds.items()))
    return _condition(kind, "SomeResourcesRemain", f"Some resources are remaining: {parts}", status="True")


def _remaining_finalizers(finalizers: Counter[str]) -> JsonObject:
    kind = "NamespaceFinalizersRemaining"
    if not finalizers:
        return _condition(kind, "ContentHasNoFinalizers", "All content-preserving finalizers finished")
    parts = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
    message = f"Some content in the namespace has finalizers remaining: {parts}"
    return _condition(kind, "SomeFinalizersRemain", message, status="True")


def _resource_name(resource: Resource) -> str:
    # The real controller prints the dot before the empty group of core resources, too.
    return qualified(resource.group, resource.plural) if resource.group else f"{resource.plural}."
