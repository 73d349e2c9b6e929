"""The face of this package: a CRD version's schema, compiled once and used for every request."""

from collections.abc import Mapping
from typing import Any

from sandbox.apiserver.schema.correlation import UNCORRELATED
from sandbox.apiserver.schema.defaulting import default
from sandbox.apiserver.schema.fields import FieldError
from sandbox.apiserver.schema.pruning import prune
from sandbox.apiserver.schema.rules import RuleSet
from sandbox.apiserver.schema.structure import read_node
from sandbox.apiserver.schema.uniqueness import duplicates
from sandbox.apiserver.schema.validation import validate_value

JsonObject = dict[str, Any]


class CompiledSchema:
    """What kube-apiserver does with an object of a CRD: prune, default, validate, in this order.

    The schema is one in which check_definition found no fault.
    """

    def __init__(self, openapi_v3_schema: Mapping[str, Any]) -> None:
        self._root = read_node(openapi_v3_schema)
        self._rules = RuleSet(self._root)

    def prune(self, obj: JsonObject) -> JsonObject:
        """A copy without the fields that the schema does not declare; metadata is left alone."""
        return self._pruned(obj)[0]

    def unknown_fields(self, obj: JsonObject) -> list[str]:
        """The paths that pruning would drop, such as `spec.list[0].x`; for fieldValidation."""
        return self._pruned(obj)[1]

    def _pruned(self, obj: JsonObject) -> tuple[JsonObject, list[str]]:
        unknown: list[str] = []
        kept = prune(obj, self._root, is_root=True, path="", unknown=unknown)
        assert isinstance(kept, dict)
        return kept, unknown

    def default(self, obj: JsonObject) -> JsonObject:
        """A copy with missing fields filled in; nulls where null is not allowed count as missing."""
        filled = default(obj, self._root)
        assert isinstance(filled, dict)
        return filled

    def validate(self, obj: JsonObject, old: JsonObject | None = None) -> list[FieldError]:
        """Every fault, none if the object may be stored. `old` is the stored object of an update."""
        errors = validate_value(obj, self._root, "", UNCORRELATED if old is None else old)
        if old is None or not any(duplicates(old, self._root, "")):
            errors += duplicates(obj, self._root, "")
        # Rules rely on types, so they run only on objects that fit the schema.
        return errors or self._rules.validate(obj, old)
