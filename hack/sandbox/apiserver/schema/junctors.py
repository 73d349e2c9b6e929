"""allOf, anyOf, oneOf and not: value validations joined by logic."""

from collections.abc import Callable, Iterator

from sandbox.apiserver.schema.fields import ErrorKind, FieldError
from sandbox.apiserver.schema.structure import Node

Validate = Callable[[object, Node, str], list[FieldError]]


def validate_junctors(value: object, node: Node, path: str, validate: Validate) -> Iterator[FieldError]:
    """The faults of joined schemas. The sentence about the junctor itself has no path, as on the real server."""
    if node.any_of:
        results = [validate(value, part, path) for part in node.any_of]
        if all(results):
            yield _joined(path, "must validate at least one schema (anyOf)")
            yield from _fewest(results)
    if node.one_of:
        yield from _validate_one_of(value, node, path, validate)
    if node.all_of:
        results = [validate(value, part, path) for part in node.all_of]
        if any(results):
            suffix = ". None validated" if all(results) else ""
            yield _joined(path, f"must validate all the schemas (allOf){suffix}")
            for errors in results:
                yield from errors
    if node.negated and not validate(value, node.negated, path):
        yield _joined(path, "must not validate the schema (not)")


def _validate_one_of(value: object, node: Node, path: str, validate: Validate) -> Iterator[FieldError]:
    results = [validate(value, part, path) for part in node.one_of]
    valid = sum(not errors for errors in results)
    if valid == 1:
        return
    found = f"{valid} valid alternatives" if valid else "none valid"
    yield _joined(path, f"must validate one and only one schema (oneOf). Found {found}")
    if not valid:
        yield from _fewest(results)


def _fewest(results: list[list[FieldError]]) -> list[FieldError]:
    """The faults of the alternative that came nearest."""
    return min(results, key=len)


def _joined(path: str, sentence: str) -> FieldError:
    return FieldError("", ErrorKind.INVALID, "", f'"{path}" {sentence}')
