"""Validation of values against the OpenAPI part of a schema, with the real server's sentences.

On an update a fault is forgiven where the value equals its old counterpart (CRD validation ratcheting, always on in
Kubernetes 1.33 and later).
"""

from collections.abc import Callable, Iterator
from typing import Final

from sandbox.apiserver.schema.correlation import UNCORRELATED, old_entry, old_item
from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.formats import fits_format, fits_integer
from sandbox.apiserver.schema.junctors import validate_junctors
from sandbox.apiserver.schema.patterns import matches
from sandbox.apiserver.schema.structure import Bounds, Node, type_name


def validate_value(value: object, node: Node, path: str, old: object = UNCORRELATED) -> list[FieldError]:
    """Every fault of `value`, in the order in which the real server finds them."""
    if old is not UNCORRELATED and value == old:
        return []
    if value is None and node.nullable:
        return []
    errors = list(_validate_type(value, node, path))
    errors += validate_junctors(value, node, path, validate_value)
    check = _CHECKS.get(type(value))
    if check:
        errors += check(value, node, path)
    if node.enum and value not in node.enum:
        supported = ", ".join(f'"{choice}"' for choice in node.enum)
        errors.append(FieldError(path, ErrorKind.NOT_SUPPORTED, value, f"supported values: {supported}"))
    if isinstance(value, list):
        errors += _validate_list(value, node, path, old)
    elif isinstance(value, dict):
        errors += _validate_object(value, node, path, old)
    return errors


def _validate_type(value: object, node: Node, path: str) -> Iterator[FieldError]:
    allowed = ("integer", "string") if node.int_or_string else (node.type,)
    found = type_name(value)
    if allowed == ("",) or found in allowed or (found == "integer" and "number" in allowed):
        return
    if isinstance(value, float) and value.is_integer() and "integer" in allowed:
        return
    names = ",".join(allowed)
    yield FieldError(path, ErrorKind.TYPE_INVALID, found, f'{path} in body must be of type {names}: "{found}"')


def _validate_string(value: object, node: Node, path: str) -> Iterator[FieldError]:
    text = str(value)
    maximum, minimum = node.length.maximum, node.length.minimum
    if maximum is not None and len(text) > maximum:
        unit = "byte" if maximum == 1 else "bytes"
        yield FieldError(path, ErrorKind.TOO_LONG, detail=f"may not be more than {maximum} {unit}")
    if minimum is not None and len(text) < minimum:
        yield _invalid(path, text, f"should be at least {minimum} chars long")
    if node.pattern and not matches(text, node.pattern):
        yield _invalid(path, text, f"should match '{node.pattern}'")
    if node.format and not fits_format(text, node.format):
        detail = f'{path} in body must be of type {node.format}: "{text}"'
        yield FieldError(path, ErrorKind.TYPE_INVALID, text, detail)


def _validate_number(value: object, node: Node, path: str) -> Iterator[FieldError]:
    assert isinstance(value, int | float)
    bounds = node.number
    if bounds.multiple_of and value % bounds.multiple_of:
        yield _invalid(path, value, f"should be a multiple of {_shown(bounds.multiple_of)}")
    if bounds.maximum is not None and _exceeds(value, bounds.maximum, exclusive=bounds.exclusive_maximum):
        relation = "less than" if bounds.exclusive_maximum else "less than or equal to"
        yield _invalid(path, value, f"should be {relation} {_shown(bounds.maximum)}")
    if bounds.minimum is not None and _exceeds(-value, -bounds.minimum, exclusive=bounds.exclusive_minimum):
        relation = "greater than" if bounds.exclusive_minimum else "greater than or equal to"
        yield _invalid(path, value, f"should be {relation} {_shown(bounds.minimum)}")
    if not fits_integer(value, node.format):
        detail = f'{path} in body must be of type {node.format}: "{_shown(value)}"'
        yield FieldError(path, ErrorKind.TYPE_INVALID, value, detail)


_CHECKS: Final[dict[type, Callable[[object, Node, str], Iterator[FieldError]]]] = {
    str: _validate_string,
    int: _validate_number,
    float: _validate_number,
}


def _validate_list(values: list[object], node: Node, path: str, old: object) -> Iterator[FieldError]:
    yield from _validate_count(len(values), node.item_count, path, "items")
    if node.unique_items and any(item in values[:index] for index, item in enumerate(values)):
        yield _invalid(path, "", "shouldn't contain duplicates")
    if node.items:
        for index, item in enumerate(values):
            yield from validate_value(item, node.items, entry(path, index), old_item(node, old, item))


def _validate_object(values: dict[str, object], node: Node, path: str, old: object) -> Iterator[FieldError]:
    yield from _validate_count(len(values), node.property_count, path, "properties")
    for name in node.required:
        if name not in values:
            yield FieldError(child(path, name), ErrorKind.REQUIRED)
    for name, part in values.items():
        if declared := node.part(name):
            yield from validate_value(part, declared, child(path, name), old_entry(node, old, name))


def _validate_count(count: int, bounds: Bounds, path: str, unit: str) -> Iterator[FieldError]:
    """The size of a list or map. Map entries are counted as items by the real server's sentence for too many."""
    if bounds.maximum is not None and count > bounds.maximum:
        noun = "item" if bounds.maximum == 1 else "items"
        yield FieldError(path, ErrorKind.TOO_MANY, count, f"must have at most {bounds.maximum} {noun}")
    if bounds.minimum is not None and count < bounds.minimum:
        yield _invalid(path, count, f"should have at least {bounds.minimum} {unit}")


def _invalid(path: str, value: object, sentence: str) -> FieldError:
    return FieldError(path, ErrorKind.INVALID, value, f"{path} in body {sentence}")


def _exceeds(value: float, limit: float, *, exclusive: bool) -> bool:
    return value >= limit if exclusive else value > limit


def _shown(number: float) -> str:
    """A number as Go prints it: no fraction where there is none."""
    return str(int(number)) if float(number).is_integer() else str(number)
