"""get and list."""

import base64
import json
import secrets
from collections import OrderedDict

from aiohttp import web

from sandbox.apiserver import statuses
from sandbox.apiserver.calls import Call
from sandbox.apiserver.objects import JsonObject, encode_json
from sandbox.apiserver.registry import Resource, ResourceVersion
from sandbox.apiserver.representations import Representation, negotiate
from sandbox.apiserver.selectors import Predicate, both, field_predicate, label_predicate
from sandbox.apiserver.store import Entry, Key
from sandbox.apiserver.versions import from_storage

_KEPT_CONTINUATIONS = 200
"""How many unfinished chunked lists are remembered; the client of an older one must start again (410)."""
_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list "
    "without the continue parameter."
)


class Continuations:
    """The rests of chunked lists. Each is a snapshot, so that all chunks of a client show one state."""

    def __init__(self) -> None:
        self._rests: OrderedDict[str, tuple[int, list[Entry]]] = OrderedDict()

    def keep(self, revision: int, entries: list[Entry]) -> str:
        """Remember a rest; returns its continue token."""
        token = secrets.token_urlsafe(12)
        self._rests[token] = (revision, entries)
        while len(self._rests) > _KEPT_CONTINUATIONS:
            self._rests.popitem(last=False)
        return base64.urlsafe_b64encode(json.dumps({"v": "meta.k8s.io/v1", "rest": token}).encode()).decode()

    def take(self, text: str) -> tuple[int, list[Entry]]:
        """The rest of a continue token. It stays, because a client may repeat a request that failed."""
        try:
            token = json.loads(base64.urlsafe_b64decode(text))["rest"]
        except (ValueError, KeyError, TypeError) as error:
            raise statuses.bad_request(f"continue key is not valid: {error}") from error
        if token not in self._rests:
            raise statuses.expired(_EXPIRED)
        return self._rests[token]


def find(call: Call, resource: Resource) -> Entry:
    """The entry that the call names; 404 if there is none."""
    namespace = call.info.namespace if resource.namespaced else ""
    entry = call.plane.store.entry(Key(*resource.store_key, namespace, call.info.name))
    if entry is None:
        raise statuses.not_found(resource.group, resource.plural, call.info.name)
    return entry


def get_object(call: Call) -> web.Response:
    """One object, or its status subresource."""
    resource, version = call.target()
    entry = find(call, resource)
    representation = negotiate(call, resource, version)
    document = from_storage(resource, version.name, entry.document)
    if representation.is_plain:
        text = entry.text() if document is entry.document else encode_json(document)
        return call.respond_json(text) if not _wants_yaml(call) else call.respond(document)
    return call.respond(representation.of_object(document))


def _wants_yaml(call: Call) -> bool:
    return "application/yaml" in call.http.headers.get("Accept", "")


def list_objects(call: Call, continuations: Continuations) -> web.Response:
    """A collection, filtered, in chunks where the client asks for a limit."""
    resource, version = call.target()
    _check_version(call)
    limit = _limit(call)
    text = call.http.query.get("continue", "")
    if text:
        revision, entries = continuations.take(text)
    else:
        revision, entries = call.plane.store.revision, select(call, resource, version)
    metadata = _list_metadata(revision)
    if limit and len(entries) > limit:
        metadata["continue"] = continuations.keep(revision, entries[limit:])
        if not call.http.query.get("labelSelector") and not call.http.query.get("fieldSelector"):
            metadata["remainingItemCount"] = len(entries) - limit
        entries = entries[:limit]
    return _render(call, resource, version, entries, metadata)


def _check_version(call: Call) -> None:
    asked = call.http.query.get("resourceVersion", "")
    if asked and not asked.isdigit():
        message = f'invalid resource version "{asked}": strconv.ParseUint: parsing "{asked}": invalid syntax'
        raise statuses.bad_request(message)
    if asked and int(asked) > call.plane.store.revision:
        raise statuses.too_large_version(int(asked), call.plane.store.revision)


def _limit(call: Call) -> int:
    text = call.http.query.get("limit", "0")
    if not text.lstrip("-").isdigit() or int(text) < 0:
        raise statuses.bad_request(f"limit: Invalid value: {text}: must be a non-negative number")
    return int(text)


def predicate_of(call: Call, resource: Resource, version: ResourceVersion) -> Predicate | None:
    """What the call's selectors (and a name in a list's path) select."""
    labels = label_predicate(call.http.query.get("labelSelector", ""))
    fields = field_predicate(call.http.query.get("fieldSelector", ""), resource, version)
    return both(labels, fields)


def select(call: Call, resource: Resource, version: ResourceVersion) -> list[Entry]:
    """The entries that the call's namespace and selectors select."""
    namespace = call.info.namespace if resource.namespaced else ""
    entries = call.plane.store.entries(*resource.store_key, namespace)
    predicate = predicate_of(call, resource, version)
    if predicate is None:
        return entries
    return [entry for entry in entries if predicate(from_storage(resource, version.name, entry.document))]


def _list_metadata(revision: int) -> JsonObject:
    return {"resourceVersion": str(revision)}


def _render(
    call: Call, resource: Resource, version: ResourceVersion, entries: list[Entry], metadata: JsonObject
) -> web.Response:
    representation: Representation = negotiate(call, resource, version)
    if not representation.is_plain or _wants_yaml(call):
        documents = [from_storage(resource, version.name, entry.document) for entry in entries]
        return call.respond(representation.of_list(documents, metadata))
    head = {"kind": resource.list_kind, "apiVersion": resource.api_version(version.name), "metadata": metadata}
    texts = []
    for entry in entries:
        document = from_storage(resource, version.name, entry.document)
        texts.append(entry.text() if document is entry.document else encode_json(document))
    return call.respond_json(encode_json(head)[:-1] + b',"items":[' + b",".join(texts) + b"]}")
