"""The shape of a kind's rules."""

from collections.abc import Callable
from dataclasses import dataclass

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.schema import FieldError


def _nothing(_: JsonObject) -> None:
    return None


def _no_errors(_item: JsonObject, _old: JsonObject | None) -> list[FieldError]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRules:
    """What happens to an object of one kind on its way into the store."""

    default: Callable[[JsonObject], None] = _nothing
    """Fills in defaults, in place; runs on creates and updates, before validation."""
    begin: Callable[[JsonObject], None] = _nothing
    """Prepares a new object, in place: first status, protecting finalizers, generated selectors."""
    validate: Callable[[JsonObject, JsonObject | None], list[FieldError]] = _no_errors
    """Errors of the object; with the stored one on updates."""
