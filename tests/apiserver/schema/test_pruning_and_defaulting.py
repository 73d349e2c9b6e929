"""What is dropped from an object, and what is filled in."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.apiserver.schema import CompiledSchema

TEXT = {"type": "string"}
PRESERVES = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
EMBEDDED = {**PRESERVES, "x-kubernetes-embedded-resource": True}


def kind_of(spec: dict[str, Any]) -> CompiledSchema:
    """A kind with this schema of its spec."""
    return CompiledSchema({"type": "object", "properties": {"spec": spec}})


@pytest.mark.parametrize(
    ("spec", "value", "kept", "unknown"),
    [
        ({"type": "object", "properties": {"a": TEXT}}, {"a": "1", "b": "2"}, {"a": "1"}, ["spec.b"]),
        ({"type": "object"}, {"a": {"b": 1}}, {}, ["spec.a"]),
        (
            {
                "type": "object",
                "properties": {"l": {"type": "array", "items": {"type": "object", "properties": {"a": TEXT}}}},
            },
            {"l": [{"a": "1"}, {"a": "1", "b": 2}]},
            {"l": [{"a": "1"}, {"a": "1"}]},
            ["spec.l[1].b"],
        ),
        (
            {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": TEXT}}},
            {"k": {"a": "1", "b": 2}},
            {"k": {"a": "1"}},
            ["spec[k].b"],
        ),
        (PRESERVES, {"a": {"b": 1}}, {"a": {"b": 1}}, []),
        (
            {**PRESERVES, "properties": {"known": {"type": "object", "properties": {"a": TEXT}}}},
            {"known": {"b": 1}, "other": {"b": 1}},
            {"known": {}, "other": {"b": 1}},
            ["spec.known.b"],
        ),
        (
            {"type": "object", "properties": {"e": {**EMBEDDED, "x-kubernetes-preserve-unknown-fields": False}}},
            {"e": {"apiVersion": "v1", "kind": "A", "metadata": {"name": "n"}, "spec": {}}},
            {"e": {"apiVersion": "v1", "kind": "A", "metadata": {"name": "n"}}},
            ["spec.e.spec"],
        ),
    ],
)
def test_pruning(spec: dict[str, Any], value: object, kept: object, unknown: list[str]) -> None:
    """Undeclared fields go, and are named by their paths; preserved ones stay."""
    kind = kind_of(spec)
    assert kind.prune({"spec": value}) == {"spec": kept}
    assert kind.unknown_fields({"spec": value}) == unknown


def test_the_root_keeps_what_every_object_has() -> None:
    """apiVersion, kind and metadata survive although no CRD declares them."""
    obj = {"apiVersion": "a/v1", "kind": "A", "metadata": {"name": "n", "labels": {"x": "y"}}, "status": {}}
    assert kind_of({"type": "object"}).prune(obj) == {key: obj[key] for key in ("apiVersion", "kind", "metadata")}


@pytest.mark.parametrize(
    ("spec", "value", "filled"),
    [
        ({"type": "object", "properties": {"a": {**TEXT, "default": "x"}}}, {}, {"a": "x"}),
        ({"type": "object", "properties": {"a": {**TEXT, "default": "x"}}}, {"a": ""}, {"a": ""}),
        ({"type": "object", "properties": {"a": {**TEXT, "default": "x"}}}, {"a": None}, {"a": "x"}),
        ({"type": "object", "properties": {"a": {**TEXT, "default": "x", "nullable": True}}}, {"a": None}, {"a": None}),
        ({"type": "object", "properties": {"a": TEXT}}, {"a": None}, {}),
        (
            {"type": "object", "properties": {"o": {"type": "object", "properties": {"a": {**TEXT, "default": "x"}}}}},
            {},
            {},
        ),
        (
            {
                "type": "object",
                "properties": {
                    "o": {"type": "object", "default": {}, "properties": {"a": {**TEXT, "default": "x"}}},
                },
            },
            {},
            {"o": {"a": "x"}},
        ),
        (
            {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"a": {**TEXT, "default": "x"}}},
            },
            {"k": {}},
            {"k": {"a": "x"}},
        ),
    ],
)
def test_defaulting(spec: dict[str, Any], value: object, filled: object) -> None:
    """Defaults fill what is absent, or null where null is not allowed; an absent parent is not made up."""
    assert kind_of(spec).default({"spec": value}) == {"spec": filled}


def test_a_default_is_copied() -> None:
    """Two objects never share a default, so changing one leaves the other."""
    kind = kind_of({"type": "object", "properties": {"l": {"type": "array", "items": TEXT, "default": ["a"]}}})
    first, second = kind.default({"spec": {}}), kind.default({"spec": {}})
    first["spec"]["l"].append("b")
    assert second == {"spec": {"l": ["a"]}}


Schema = dict[str, Any]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def leaves(draw: st.DrawFn) -> Schema:
    """A scalar, sometimes with a default or null allowed."""
    kind, default = draw(st.sampled_from([("string", "d"), ("integer", 7), ("boolean", True)]))
    schema: Schema = {"type": kind}
    if draw(st.booleans()):
        schema["default"] = default
    if draw(st.booleans()):
        schema["nullable"] = True
    return schema


def _containers(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    properties = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    extras = st.sampled_from([{}, {"x-kubernetes-preserve-unknown-fields": True}, {"default": {}}])
    return st.one_of(
        st.builds(lambda parts, extra: {"type": "object", "properties": parts, **extra}, properties, extras),
        st.builds(lambda part: {"type": "object", "additionalProperties": part}, inner),
        st.builds(lambda part: {"type": "array", "items": part}, inner),
    )


SCHEMAS = st.recursive(leaves(), _containers, max_leaves=6)


@given(schema=SCHEMAS, value=_JSON)
def test_twice_is_once(schema: Schema, value: object) -> None:
    """Pruning and defaulting change nothing the second time, and a pruned object has no unknown fields."""
    kind, obj = kind_of(schema), {"spec": value}
    pruned = kind.prune(obj)
    assert kind.prune(pruned) == pruned
    assert kind.unknown_fields(pruned) == []
    filled = kind.default(pruned)
    assert kind.default(filled) == filled
    assert kind.prune(filled) == filled


@given(schema=SCHEMAS)
def test_what_defaults_fill_in_is_valid(schema: Schema) -> None:
    """An object that consists of defaults only passes validation."""
    kind = CompiledSchema({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}})
    assert kind.validate(kind.default({"spec": {}})) == []


@given(schema=SCHEMAS, value=_JSON)
def test_nothing_is_changed_in_place(schema: Schema, value: object) -> None:
    """The caller's object is left as it was."""
    kind, obj, twin = kind_of(schema), {"spec": value}, {"spec": _copy(value)}
    kind.default(kind.prune(obj))
    kind.validate(obj)
    assert obj == twin


def _copy(value: object) -> object:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
