"""Kubernetes objects as JSON documents, and the few things that every part of the server does with them."""

import json
from datetime import UTC, datetime
from typing import Any

JsonObject = dict[str, Any]
"""A decoded JSON object. Its content is the users', so it has no narrower type inside the server."""


def copy_json(value: Any) -> Any:
    """A deep copy of a JSON value; several times faster than copy.deepcopy, which tracks identities."""
    if isinstance(value, dict):
        return {key: copy_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in value]
    return value


def encode_json(value: Any) -> bytes:
    """The compact JSON text of a value."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def metadata_of(item: JsonObject) -> JsonObject:
    """The object's metadata; made when it is absent, so that callers may write to it."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict):
        metadata = item["metadata"] = {}
    return metadata


def name_of(item: JsonObject) -> str:
    """metadata.name, or an empty string."""
    return str(item.get("metadata", {}).get("name") or "")


def namespace_of(item: JsonObject) -> str:
    """metadata.namespace, or an empty string for cluster-scoped objects."""
    return str(item.get("metadata", {}).get("namespace") or "")


def is_deleting(item: JsonObject) -> bool:
    """True once somebody asked to delete the object and finalizers or a grace period still hold it."""
    return bool(item.get("metadata", {}).get("deletionTimestamp"))


def format_time(moment: datetime) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_micro_time(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as metav1.MicroTime is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_time(text: str) -> datetime:
    """The inverse of format_time; accepts fractions and offsets."""
    return datetime.fromisoformat(text)


def split_api_version(api_version: str) -> tuple[str, str]:
    """`apps/v1` → ("apps", "v1"); `v1` → ("", "v1")."""
    group, _, version = api_version.rpartition("/")
    return group, version
