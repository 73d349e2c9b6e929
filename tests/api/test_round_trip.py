"""The models agree with the definitions that are generated from them, and lose nothing."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gen_crds import definition
from safehold.api.base import API_VERSION
from safehold.api.kinds import KINDS, KindDefinition
from sandbox.apiserver.schema import CompiledSchema

Schema = dict[str, Any]

EVERY_KIND = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)


_INTEGER_LIMITS = {"int32": 2**31 - 1, "int64": 2**63 - 1}
_MOMENTS = st.integers(0, 2**32).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
)


def objects_of(schema: Schema) -> st.SearchStrategy[Any]:
    """Values that the schema admits; of the properties any optional one may be absent."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "object":
            return _maps_of(schema)
        case "array":
            # Items of a list map must differ in their key; one or none always do.
            kind, least = schema.get("x-kubernetes-list-type"), schema.get("minItems", 0)
            limit = 1 if kind == "map" else 3
            return st.lists(objects_of(schema["items"]), min_size=least, max_size=limit, unique=kind == "set")
        case "string":
            return _texts_of(schema)
        case "integer":
            greatest = min(schema.get("maximum", 2**63), _INTEGER_LIMITS[schema["format"]])
            return st.integers(schema.get("minimum", 0), greatest)
        case "number":
            return st.floats(0, 1e6)
        case _:
            return st.booleans()


def _maps_of(schema: Schema) -> st.SearchStrategy[Any]:
    if "additionalProperties" in schema:
        return st.dictionaries(st.sampled_from(["team", "tier"]), objects_of(schema["additionalProperties"]))
    properties = {name: objects_of(part) for name, part in schema["properties"].items()}
    required = {name: part for name, part in properties.items() if name in schema.get("required", [])}
    optional = {name: part for name, part in properties.items() if name not in required}
    return st.fixed_dictionaries(required, optional=optional)


def _texts_of(schema: Schema) -> st.SearchStrategy[str]:
    if schema.get("format") == "date-time":
        return _MOMENTS
    if "pattern" in schema:
        # `$` of the schema's patterns is the end; Python's would admit a line break after it.
        pattern = schema["pattern"].removesuffix("$") + r"\Z"
        least, most = schema.get("minLength", 0), schema["maxLength"]
        return st.from_regex(pattern).filter(lambda text: least <= len(text) <= most)
    return st.text(
        st.characters(codec="utf-8", exclude_characters="\0"), max_size=8, min_size=schema.get("minLength", 0)
    )


def schema_of(kind: KindDefinition) -> dict[str, Any]:
    """The schema that the API server uses."""
    schema: dict[str, Any] = definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def lacks(whole: Any, part: Any, path: str = "") -> list[str]:
    """Paths at which `whole` does not have what `part` has."""
    if isinstance(part, dict) and isinstance(whole, dict):
        return [
            lack
            for name, value in part.items()
            for lack in (lacks(whole[name], value, f"{path}.{name}") if name in whole else [f"{path}.{name}"])
        ]
    if isinstance(part, list) and isinstance(whole, list) and len(part) == len(whole):
        pairs = enumerate(zip(whole, part, strict=True))
        return [lack for place, (one, other) in pairs for lack in lacks(one, other, f"{path}[{place}]")]
    return [] if whole == part else [path]


@EVERY_KIND
@settings(
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(data=st.data())
def test_round_trip(kind: KindDefinition, data: st.DataObject) -> None:
    """Whatever the definition admits is read and written back without loss, and what is written is admitted again."""
    schema = schema_of(kind)
    parts = {name: data.draw(objects_of(schema["properties"][name])) for name in ("spec", "status")}
    stored = {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": {"name": "x"}, **parts}
    model = kind.model.model_validate(stored)
    written = model.to_wire()
    assert lacks(written, stored) == []
    assert kind.model.model_validate(written) == model
    # Rules across fields are not of interest here: the objects are made field by field.
    compiled = CompiledSchema(_without_rules(schema))
    assert compiled.unknown_fields(written) == []
    assert [str(error) for error in compiled.validate(written)] == []


def _without_rules(schema: Any) -> Any:
    if isinstance(schema, dict):
        return {name: _without_rules(part) for name, part in schema.items() if name != "x-kubernetes-validations"}
    return [_without_rules(part) for part in schema] if isinstance(schema, list) else schema
