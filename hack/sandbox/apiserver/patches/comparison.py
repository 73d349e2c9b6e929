"""Which fields differ between two states of an object."""

from dataclasses import dataclass, field
from typing import Any

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.patches.field_sets import Path, step_of_item
from sandbox.apiserver.patches.field_types import FieldType


@dataclass(slots=True)
class Comparison:
    """Paths added, changed and removed. A new or vanished map counts with everything in it."""

    added: set[Path] = field(default_factory=set)
    modified: set[Path] = field(default_factory=set)
    removed: set[Path] = field(default_factory=set)

    def touched(self) -> set[Path]:
        """What the writer of the new state wrote."""
        return self.added | self.modified


_ABSENT = object()


def compare(old: JsonObject, new: JsonObject, field_type: FieldType) -> Comparison:
    """The differences between two objects of one type."""
    result = Comparison()
    _walk(old, new, field_type, (), result)
    return result


def _walk(old: Any, new: Any, field_type: FieldType, path: Path, result: Comparison) -> None:
    if old is new or (old == new and type(old) is type(new)):
        return
    shape = field_type.shape
    maps = shape in ("struct", "map", "deduced") and _is_or_absent(old, dict) and _is_or_absent(new, dict)
    lists = shape in ("list-map", "list-set") and _is_or_absent(old, list) and _is_or_absent(new, list)
    if not (maps or lists):
        _leaf(old, new, path, result)
        return
    if (old is _ABSENT or new is _ABSENT) and path:
        _leaf(old, new, path, result)
    if maps:
        _walk_maps({} if old is _ABSENT else old, {} if new is _ABSENT else new, field_type, path, result)
    else:
        _walk_lists([] if old is _ABSENT else old, [] if new is _ABSENT else new, field_type, path, result)


def _is_or_absent(value: Any, kind: type) -> bool:
    return value is _ABSENT or isinstance(value, kind)


def _leaf(old: Any, new: Any, path: Path, result: Comparison) -> None:
    target = result.added if old is _ABSENT else result.removed if new is _ABSENT else result.modified
    target.add(path)


def _walk_maps(old: JsonObject, new: JsonObject, field_type: FieldType, path: Path, result: Comparison) -> None:
    for key in old.keys() | new.keys():
        inner = (*path, f"f:{key}")
        _walk(old.get(key, _ABSENT), new.get(key, _ABSENT), field_type.child(key), inner, result)


def _walk_lists(old: list[Any], new: list[Any], field_type: FieldType, path: Path, result: Comparison) -> None:
    before = {step_of_item(item, field_type): item for item in old}
    after = {step_of_item(item, field_type): item for item in new}
    for step in before.keys() | after.keys():
        _walk(before.get(step, _ABSENT), after.get(step, _ABSENT), field_type.item, (*path, step), result)
