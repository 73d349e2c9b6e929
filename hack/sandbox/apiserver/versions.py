"""The form of an object in a requested version, and its form in the store.

CRDs convert by strategy None: only apiVersion changes. Event is one object under two groups with other field names.
"""

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.registry import Resource

_EVENTS_GROUP = "events.k8s.io"
_EVENT_FIELDS = {
    "message": "note",
    "involvedObject": "regarding",
    "reportingComponent": "reportingController",
    "count": "deprecatedCount",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "source": "deprecatedSource",
}
"""core/v1 → events.k8s.io/v1."""
_CORE_FIELDS = {new: old for old, new in _EVENT_FIELDS.items()}


def from_storage(resource: Resource, version: str, item: JsonObject) -> JsonObject:
    """The object as the requested version shows it; the same object where nothing differs."""
    api_version = resource.api_version(version)
    if item.get("apiVersion") == api_version:
        return item
    if resource.group == _EVENTS_GROUP:
        item = {_EVENT_FIELDS.get(name, name): value for name, value in item.items()}
    return {**item, "apiVersion": api_version}


def to_storage(resource: Resource, item: JsonObject) -> JsonObject:
    """The inverse of from_storage."""
    if resource.group == _EVENTS_GROUP:
        item = {_CORE_FIELDS.get(name, name): value for name, value in item.items()}
        return {**item, "apiVersion": "v1"}
    api_version = resource.api_version(resource.storage_version)
    return item if item.get("apiVersion") == api_version else {**item, "apiVersion": api_version}
