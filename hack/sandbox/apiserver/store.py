"""All objects in memory, one rising revision over all of them, and the recent history that watches resume from.

Pure and synchronous. A stored document is never changed again: readers share it, writers bring a new one.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, Protocol

from sandbox.apiserver.objects import JsonObject, encode_json

HISTORY_EVENTS = 5000
"""Events kept per resource. A watch from before them is answered with 410 Gone, as after a compaction of etcd."""


class Key(NamedTuple):
    """Where an object lives. Cluster-scoped objects have an empty namespace."""

    group: str
    plural: str
    namespace: str
    name: str


class Entry:
    """A stored document with its JSON text, which is made once and only when somebody asks."""

    __slots__ = ("_text", "document", "key", "revision")

    def __init__(self, key: Key, document: JsonObject, revision: int) -> None:
        self.key = key
        self.document = document
        self.revision = revision
        self._text: bytes | None = None

    def text(self) -> bytes:
        """The document as JSON."""
        if self._text is None:
            self._text = encode_json(self.document)
        return self._text


EventType = Literal["ADDED", "MODIFIED", "DELETED"]


class StoreEvent(NamedTuple):
    """One change: the entry after it (of a deletion the last state, under its own revision) and the one before."""

    type: EventType
    entry: Entry
    previous: Entry | None


Listener = Callable[[StoreEvent], None]
Entries = list[Entry]
Events = list[StoreEvent]


class Journal(Protocol):
    """Keeps changes beyond the life of the process."""

    def record(self, event: StoreEvent) -> None:
        """Called with every change, in order, before anyone else sees it."""


class RevisionConflictError(Exception):
    """The object is not in the state that the writer started from."""


class CompactedError(Exception):
    """The history does not reach back to the revision asked for."""

    def __init__(self, asked: int, oldest: int) -> None:
        super().__init__(f"too old resource version: {asked} ({oldest})")


class _History:
    """The last events of one resource, and the revision up to which events were forgotten."""

    def __init__(self, forgotten: int) -> None:
        self.events: deque[StoreEvent] = deque()
        self.forgotten = forgotten

    def append(self, event: StoreEvent) -> None:
        self.events.append(event)
        if len(self.events) > HISTORY_EVENTS:
            self.forgotten = self.events.popleft().entry.revision

    def since(self, revision: int) -> list[StoreEvent]:
        if revision < self.forgotten:
            raise CompactedError(revision, self.forgotten)
        return [event for event in self.events if event.entry.revision > revision]


class Store:
    """The objects of the cluster. `group` and `plural` name a resource; versions are the registry's business."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.revision = 1
        self._journal = journal
        self._loaded_revision = 1
        self._entries: dict[tuple[str, str], dict[tuple[str, str], Entry]] = {}
        self._histories: dict[tuple[str, str], _History] = {}
        self._by_uid: dict[str, Entry] = {}
        self._dependents: dict[str, set[Key]] = {}
        self._listeners: dict[tuple[str, str], list[Listener]] = {}
        self._observers: list[Listener] = []

    def load(self, documents: list[tuple[Key, JsonObject]], revision: int) -> None:
        """Fill an empty store from a journal. History starts here, so older watches get 410."""
        for key, document in documents:
            self._put(Entry(key, document, int(document["metadata"]["resourceVersion"])))
        self.revision = self._loaded_revision = max(revision, 1)

    def get(self, group: str, plural: str, namespace: str | None, name: str) -> JsonObject | None:
        """The document, which the caller must not change."""
        entry = self.entry(Key(group, plural, namespace or "", name))
        return entry.document if entry else None

    def list(self, group: str, plural: str, namespace: str | None = None) -> list[JsonObject]:
        """The documents of one namespace, or of all, in the order of their names. Callers must not change them."""
        return [entry.document for entry in self.entries(group, plural, namespace)]

    def entry(self, key: Key) -> Entry | None:
        """The entry of that key."""
        return self._entries.get(key[:2], {}).get(key[2:])

    def entries(self, group: str, plural: str, namespace: str | None = None) -> Entries:
        """As `list`, with the entries."""
        found = self._entries.get((group, plural), {})
        return [found[place] for place in sorted(found) if not namespace or place[0] == namespace]

    def by_uid(self, uid: str) -> Entry | None:
        """The entry with that metadata.uid, of whatever kind."""
        return self._by_uid.get(uid)

    def dependents(self, uid: str) -> Entries:
        """Entries whose ownerReferences name this uid."""
        keys = sorted(self._dependents.get(uid, ()))
        return [entry for entry in map(self.entry, keys) if entry]

    def resources(self) -> Iterator[tuple[str, str]]:
        """(group, plural) of every resource that has objects."""
        return (resource for resource, found in list(self._entries.items()) if found)

    def create(self, key: Key, document: JsonObject) -> Entry:
        """Store a new document; its resourceVersion is written into it. The caller has checked that the key is free."""
        if self.entry(key):
            raise RevisionConflictError(f"{key} exists")
        return self._commit("ADDED", key, document)

    def update(self, key: Key, document: JsonObject, expected: int) -> Entry:
        """Replace the document if its present revision is `expected`."""
        self._expect(key, expected)
        return self._commit("MODIFIED", key, document)

    def delete(self, key: Key, document: JsonObject, expected: int) -> Entry:
        """Remove the object; `document` is its last state, as watchers see it, under a new revision."""
        self._expect(key, expected)
        return self._commit("DELETED", key, document)

    def _expect(self, key: Key, expected: int) -> None:
        entry = self.entry(key)
        if entry is None or entry.revision != expected:
            raise RevisionConflictError(f"{key} is at {entry and entry.revision}, not at {expected}")

    def _commit(self, kind: EventType, key: Key, document: JsonObject) -> Entry:
        previous = self.entry(key)
        self.revision += 1
        document["metadata"]["resourceVersion"] = str(self.revision)
        entry = Entry(key, document, self.revision)
        event = StoreEvent(kind, entry, previous)
        if self._journal:
            self._journal.record(event)
        if previous:
            self._drop(previous)
        if kind != "DELETED":
            self._put(entry)
        self._history(key[:2]).append(event)
        for listener in [*self._listeners.get(key[:2], ()), *self._observers]:
            listener(event)
        return entry

    def _put(self, entry: Entry) -> None:
        self._entries.setdefault(entry.key[:2], {})[entry.key[2:]] = entry
        metadata = entry.document["metadata"]
        self._by_uid[metadata["uid"]] = entry
        for reference in metadata.get("ownerReferences") or ():
            self._dependents.setdefault(reference["uid"], set()).add(entry.key)

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.key[:2]][entry.key[2:]]
        metadata = entry.document["metadata"]
        self._by_uid.pop(metadata["uid"], None)
        for reference in metadata.get("ownerReferences") or ():
            owned = self._dependents.get(reference["uid"], set())
            owned.discard(entry.key)
            if not owned:
                self._dependents.pop(reference["uid"], None)

    def _history(self, resource: tuple[str, str]) -> _History:
        if resource not in self._histories:
            self._histories[resource] = _History(self._loaded_revision)
        return self._histories[resource]

    def events_since(self, group: str, plural: str, revision: int) -> Events:
        """The resource's changes after a revision, oldest first; CompactedError if they are not all known."""
        return self._history((group, plural)).since(revision)

    def subscribe(self, group: str, plural: str, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every later change of the resource, inside the write; returns the way to stop it."""
        listeners = self._listeners.setdefault((group, plural), [])
        listeners.append(listener)
        return lambda: listeners.remove(listener)

    def observe(self, listener: Listener) -> None:
        """Call `listener` with every later change of any resource, for the life of the store."""
        self._observers.append(listener)
