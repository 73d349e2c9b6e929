"""metadata.managedFields: who last set which field, kept by every write.

The rules are those of server-side apply's reference implementation: a write takes the fields that it changes away from
the others; an apply owns exactly what its configuration states.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sandbox.apiserver.objects import JsonObject, format_time
from sandbox.apiserver.patches.comparison import Comparison, compare
from sandbox.apiserver.patches.field_sets import FieldSet, Path, from_fields_v1, to_fields_v1
from sandbox.apiserver.patches.field_types import FieldType

_UNOWNED: frozenset[Path] = frozenset(
    {("f:apiVersion",), ("f:kind",), ("f:metadata",)}
    | {
        ("f:metadata", f"f:{name}")
        for name in (
            "creationTimestamp",
            "deletionGracePeriodSeconds",
            "deletionTimestamp",
            "generation",
            "managedFields",
            "name",
            "namespace",
            "resourceVersion",
            "selfLink",
            "uid",
        )
    }
)


@dataclass(frozen=True, slots=True)
class Writer:
    """Who writes: the field manager, the operation, the version of the request, and the subresource."""

    manager: str
    operation: str
    api_version: str
    subresource: str = ""


Ownership = dict[Writer, FieldSet]


def owned(fields: Iterable[Path]) -> FieldSet:
    """Without the fields that the server itself keeps, which nobody owns."""
    return frozenset(path for path in fields if path not in _UNOWNED)


def ownership_of(item: JsonObject) -> Ownership:
    """The object's managedFields, decoded."""
    found: Ownership = {}
    for entry in item.get("metadata", {}).get("managedFields") or ():
        writer = Writer(
            entry.get("manager", ""),
            entry.get("operation", "Update"),
            entry.get("apiVersion", ""),
            entry.get("subresource", ""),
        )
        found[writer] = from_fields_v1(entry.get("fieldsV1") or {})
    return found


def record_update(
    old: JsonObject | None, new: JsonObject, field_type: FieldType, writer: Writer, now: datetime
) -> None:
    """Write managedFields into `new` after a create, update or patch that was no apply."""
    before = old or {}
    comparison = compare(before, new, field_type)
    owners = ownership_of(before)
    owners = taken_from_others(owners, comparison, writer)
    mine = (owners.get(writer, frozenset()) - comparison.removed) | owned(comparison.touched())
    owners[writer] = frozenset(mine)
    store_ownership(before, new, owners, now)


def taken_from_others(owners: Ownership, comparison: Comparison, writer: Writer) -> Ownership:
    """The others keep what this write neither changed nor removed."""
    lost = comparison.touched() | comparison.removed
    if not lost:
        return dict(owners)
    return {other: fields if other == writer else fields - lost for other, fields in owners.items()}


def store_ownership(old: JsonObject, new: JsonObject, owners: Ownership, now: datetime) -> None:
    """Encode the owners into `new`; entries whose fields did not change keep their time."""
    previous = ownership_of(old)
    times = {
        writer: entry.get("time")
        for writer, entry in zip(previous, old.get("metadata", {}).get("managedFields") or (), strict=False)
    }
    entries = []
    for writer, fields in owners.items():
        if not fields:
            continue
        unchanged = previous.get(writer) == fields
        time = times.get(writer) if unchanged else None
        entries.append(_entry(writer, fields, time or format_time(now)))
    entries.sort(key=lambda entry: (entry["operation"] != "Apply", entry["time"], entry["manager"]))
    new["metadata"].pop("managedFields", None)
    if entries:
        new["metadata"]["managedFields"] = entries


def _entry(writer: Writer, fields: FieldSet, time: str) -> JsonObject:
    entry: JsonObject = {
        "manager": writer.manager,
        "operation": writer.operation,
        "apiVersion": writer.api_version,
        "time": time,
        "fieldsType": "FieldsV1",
        "fieldsV1": to_fields_v1(fields),
    }
    if writer.subresource:
        entry["subresource"] = writer.subresource
    return entry
