"""watch: the changes of a collection as a stream of JSON lines."""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass

from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.handlers.lists import predicate_of, select
from sandbox.apiserver.objects import JsonObject, encode_json
from sandbox.apiserver.registry import Resource, ResourceVersion
from sandbox.apiserver.representations import Representation, negotiate
from sandbox.apiserver.selectors import Predicate, both
from sandbox.apiserver.store import CompactedError, Entry, StoreEvent
from sandbox.apiserver.versions import from_storage

_SHORTEST_SECONDS = 1800
"""Without timeoutSeconds a watch ends after a random time between this and twice this, as on a real server."""
_INITIAL_EVENTS_END = "k8s.io/initial-events-end"


@dataclass(slots=True)
class _Watch:
    call: Call
    resource: Resource
    version: ResourceVersion
    representation: Representation
    predicate: Predicate | None
    queue: "asyncio.Queue[StoreEvent | None]"
    """Changes to tell; None ends the watch, because the server stops."""

    def line(self, event: StoreEvent) -> bytes | None:
        """The event as this watcher sees it: an object that starts or stops to match is added or deleted."""
        entry, previous = event.entry, event.previous
        matches = event.type != "DELETED" and self._matches(entry)
        matched = previous is not None and self._matches(previous)
        if matches:
            return self.text("MODIFIED" if matched else "ADDED", entry)
        if matched or (event.type == "DELETED" and previous is None and self._matches(entry)):
            return self._gone(event)
        return None

    def _gone(self, event: StoreEvent) -> bytes:
        if event.type == "DELETED" or event.previous is None:
            return self.text("DELETED", event.entry)
        # The last matching state, under the revision at which it stopped to match.
        meta = {**event.previous.document["metadata"], "resourceVersion": str(event.entry.revision)}
        return self.text("DELETED", Entry(event.entry.key, {**event.previous.document, "metadata": meta}, 0))

    def _matches(self, entry: Entry) -> bool:
        return self.predicate is None or self.predicate(from_storage(self.resource, self.version.name, entry.document))

    def text(self, kind: str, entry: Entry) -> bytes:
        """A line for an entry; the entry's own JSON text is reused where the client wants it whole."""
        document = from_storage(self.resource, self.version.name, entry.document)
        if self.representation.is_plain and document is entry.document:
            return b'{"type":"%s","object":%s}\n' % (kind.encode(), entry.text())
        return _line(kind, self.representation.of_object(document))

    def bookmark(self, *, ends_initial_events: bool = False) -> bytes:
        """A line that only tells the revision up to which everything was sent."""
        meta: JsonObject = {"resourceVersion": str(self.call.plane.store.revision), "creationTimestamp": None}
        if ends_initial_events:
            meta["annotations"] = {_INITIAL_EVENTS_END: "true"}
        document: JsonObject = {"kind": self.resource.kind, "apiVersion": self.resource.api_version(self.version.name)}
        document["metadata"] = meta
        if self.representation.form == "table":
            document = self.representation.of_list([], meta)
        return _line("BOOKMARK", document)


def _line(kind: str, document: JsonObject) -> bytes:
    return encode_json({"type": kind, "object": document}) + b"\n"


async def watch_objects(call: Call) -> web.StreamResponse:
    """Stream the collection's changes until the client leaves, the timeout passes or the server stops."""
    resource, version = call.target()
    watch = _prepare(call, resource, version)
    initial, error = _initial_lines(watch)
    namespace = call.info.namespace if resource.namespaced else ""

    def enqueue(event: StoreEvent) -> None:
        if not namespace or event.entry.key.namespace == namespace:
            watch.queue.put_nowait(event)

    # Nothing was awaited since the initial events were read, so no change is lost between them and the subscription.
    unsubscribe = call.plane.store.subscribe(*resource.store_key, enqueue)
    call.plane.watches.add(watch.queue)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"})
    call.add_warnings(response)
    try:
        await response.prepare(call.http)
        if initial:
            await response.write(b"".join(initial))
        if error is None:
            await _stream(watch, response, _timeout(call))
    except ConnectionError:
        pass
    finally:
        unsubscribe()
        call.plane.watches.discard(watch.queue)
    return response


def _prepare(call: Call, resource: Resource, version: ResourceVersion) -> _Watch:
    predicate = predicate_of(call, resource, version)
    if call.info.name:
        name = call.info.name
        predicate = both(predicate, lambda item: item["metadata"]["name"] == name)
    if call.flag("sendInitialEvents") and call.http.query.get("resourceVersionMatch") != "NotOlderThan":
        message = (
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: sendInitialEvents requires '
            "setting resourceVersionMatch to NotOlderThan"
        )
        raise statuses.ApiError(422, "Invalid", message)
    return _Watch(call, resource, version, negotiate(call, resource, version), predicate, asyncio.Queue())


def _initial_lines(watch: _Watch) -> tuple[list[bytes], statuses.ApiError | None]:
    call = watch.call
    asked = call.http.query.get("resourceVersion", "")
    if asked and not asked.isdigit():
        raise statuses.bad_request(f'invalid resource version "{asked}"')
    streams_list = call.flag("sendInitialEvents")
    if streams_list or asked in ("", "0"):
        wants_state = streams_list or call.http.query.get("sendInitialEvents") is None
        entries = select(call, watch.resource, watch.version) if wants_state else []
        lines = [watch.text("ADDED", entry) for entry in entries if not call.info.name or _named(call, entry)]
        if streams_list and call.flag("allowWatchBookmarks"):
            lines.append(watch.bookmark(ends_initial_events=True))
        return lines, None
    return _lines_since(watch, int(asked))


def _named(call: Call, entry: Entry) -> bool:
    return entry.key.name == call.info.name


def _lines_since(watch: _Watch, revision: int) -> tuple[list[bytes], statuses.ApiError | None]:
    try:
        events = watch.call.plane.store.events_since(*watch.resource.store_key, revision)
    except CompactedError as compacted:
        error = statuses.expired(str(compacted))
        return [_line("ERROR", error.status())], error
    return list(_lines(watch, events)), None


def _lines(watch: _Watch, events: Iterable[StoreEvent]) -> Iterable[bytes]:
    namespace = watch.call.info.namespace if watch.resource.namespaced else ""
    for event in events:
        if not namespace or event.entry.key.namespace == namespace:
            line = watch.line(event)
            if line is not None:
                yield line


def _timeout(call: Call) -> float:
    text = call.http.query.get("timeoutSeconds", "")
    if text.isdigit() and int(text) > 0:
        return float(text)
    return random.uniform(_SHORTEST_SECONDS, 2 * _SHORTEST_SECONDS)  # noqa: S311 - spreads load, keeps no secret


async def _stream(watch: _Watch, response: web.StreamResponse, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    bookmarks = watch.call.flag("allowWatchBookmarks")
    pause = watch.call.plane.settings.bookmark_seconds
    next_bookmark = loop.time() + pause
    stopping = False
    while (now := loop.time()) < end and not stopping:
        events = await _next_events(watch.queue, min(end, next_bookmark))
        stopping = None in events
        lines = list(_lines(watch, filter(None, events)))
        if bookmarks and now >= next_bookmark:
            lines.append(watch.bookmark())
        if now >= next_bookmark:
            next_bookmark = now + pause
        if lines:
            await response.write(b"".join(lines))


async def _next_events(queue: "asyncio.Queue[StoreEvent | None]", until: float) -> list[StoreEvent | None]:
    """All queued changes; waits for one until a moment of the loop's clock."""
    try:
        async with asyncio.timeout_at(until):
            events = [await queue.get()]
    except TimeoutError:
        return []
    while not queue.empty():
        events.append(queue.get_nowait())
    return events
