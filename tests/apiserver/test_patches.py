"""The patch algorithms by themselves: strategic merges, server-side apply, and who owns what."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.apiserver import openapi_models
from sandbox.apiserver.patches.apply import apply_patch
from sandbox.apiserver.patches.field_sets import describe, from_fields_v1, to_fields_v1
from sandbox.apiserver.patches.field_types import FieldType, root_type
from sandbox.apiserver.patches.managed_fields import Writer, ownership_of, record_update
from sandbox.apiserver.patches.merge import merge_patch
from sandbox.apiserver.patches.strategic import strategic_merge_patch
from sandbox.apiserver.statuses import ApiError

NOW = datetime(2026, 11, 22, tzinfo=UTC)
POD = root_type(openapi_models.inline("V1Pod"))
WIDGET = root_type(
    {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "size": {"type": "integer"},
                    "names": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "parts": {
                        "type": "array",
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                        "items": {
                            "type": "object",
                            "properties": {"name": {"type": "string"}, "n": {"type": "integer"}},
                        },
                    },
                    "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                    "whole": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {}, "b": {}}},
                },
            }
        },
    }
)


def widget(**spec: Any) -> dict[str, Any]:
    """An object of the WIDGET type."""
    return {"apiVersion": "e/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec}


def apply(live: dict[str, Any], manager: str, *, force: bool = False, **spec: Any) -> dict[str, Any]:
    """The object after a manager applied a spec."""
    return apply_patch(live, widget(**spec), WIDGET, Writer(manager, "Apply", "e/v1"), force=force, now=NOW)


EMPTY: dict[str, Any] = {"apiVersion": "e/v1", "kind": "Widget", "metadata": {}}


@pytest.mark.parametrize(
    ("before", "patch", "after"),
    [
        pytest.param(
            {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "2"}]},
            {"containers": [{"name": "b", "image": "3"}]},
            {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "3"}]},
            id="items merge by key",
        ),
        pytest.param(
            {"containers": [{"name": "a"}, {"name": "b"}]},
            {"containers": [{"$patch": "delete", "name": "a"}]},
            {"containers": [{"name": "b"}]},
            id="$patch: delete removes an item",
        ),
        pytest.param(
            {"containers": [{"name": "a"}]},
            {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}], "containers": [{"name": "b"}]},
            {"containers": [{"name": "b"}, {"name": "a"}]},
            id="$setElementOrder orders items",
        ),
        pytest.param(
            {"volumes": [{"name": "v", "emptyDir": {}}]},
            {"volumes": [{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]},
            {"volumes": [{"name": "v", "secret": {"secretName": "s"}}]},
            id="$retainKeys drops the other source",
        ),
        pytest.param(
            {"tolerations": [{"key": "a"}]},
            {"tolerations": [{"key": "b"}]},
            {"tolerations": [{"key": "b"}]},
            id="lists without a key are replaced",
        ),
        pytest.param(
            {"nodeSelector": {"a": "1", "b": "2"}},
            {"nodeSelector": {"$patch": "replace", "c": "3"}},
            {"nodeSelector": {"c": "3"}},
            id="$patch: replace replaces a map",
        ),
    ],
)
def test_strategic_merge(before: dict[str, Any], patch: dict[str, Any], after: dict[str, Any]) -> None:
    """Strategic merge patches obey merge keys and directives."""
    assert strategic_merge_patch({"spec": before}, {"spec": patch}, POD) == {"spec": after}


def test_strategic_merge_of_finalizers() -> None:
    """Plain values of a merged list are added once, and deleted by $deleteFromPrimitiveList."""
    item = {"metadata": {"finalizers": ["a", "b"]}}
    added = strategic_merge_patch(item, {"metadata": {"finalizers": ["b", "c"]}}, POD)
    assert added["metadata"]["finalizers"] == ["a", "b", "c"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert strategic_merge_patch(added, patch, POD)["metadata"]["finalizers"] == ["b", "c"]


def test_apply_merges_keyed_lists_and_sets() -> None:
    """Two appliers share a keyed list and a set, each owning its items."""
    live = apply(EMPTY, "one", parts=[{"name": "a", "n": 1}], names=["x"])
    live = apply(live, "two", parts=[{"name": "b", "n": 2}], names=["y"])
    assert live["spec"] == {"parts": [{"name": "a", "n": 1}, {"name": "b", "n": 2}], "names": ["x", "y"]}
    live = apply(live, "one", parts=[])
    assert live["spec"] == {"parts": [{"name": "b", "n": 2}], "names": ["y"]}


def test_apply_of_an_item_s_field_conflicts_by_key() -> None:
    """A conflict in a keyed list names the item; several conflicts are listed by manager."""
    live = apply(EMPTY, "one", parts=[{"name": "a", "n": 1}], size=1)
    with pytest.raises(ApiError) as caught:
        apply(live, "two", parts=[{"name": "a", "n": 2}], size=2)
    assert caught.value.message == (
        'Apply failed with 2 conflicts: conflicts with "one":\n- .spec.parts[name="a"].n\n- .spec.size'
    )


def test_equal_values_are_shared() -> None:
    """Two managers who apply the same value both own it, and it stays until both let go."""
    live = apply(apply(EMPTY, "one", size=1), "two", size=1)
    assert {writer.manager for writer in ownership_of(live)} == {"one", "two"}
    live = apply(live, "one")
    assert live["spec"] == {"size": 1}
    assert apply(live, "two")["spec"] == {}


def test_atomic_values_have_one_owner() -> None:
    """An atomic map is replaced as a whole, and conflicts as a whole."""
    live = apply(EMPTY, "one", whole={"a": 1, "b": 2})
    assert apply(live, "one", whole={"a": 1})["spec"] == {"whole": {"a": 1}}
    with pytest.raises(ApiError, match=r"conflict with \"one\": \.spec\.whole"):
        apply(live, "two", whole={"a": 3})


def test_an_update_takes_ownership() -> None:
    """A plain update takes the fields that it changes away from an applier, who then conflicts with it."""
    live = apply(EMPTY, "one", size=1, labels={"a": "b"})
    changed = {**live, "metadata": dict(live["metadata"]), "spec": {**live["spec"], "size": 2}}
    record_update(live, changed, WIDGET, Writer("kubectl", "Update", "e/v1"), NOW)
    owners = {writer.manager: {describe(path) for path in fields} for writer, fields in ownership_of(changed).items()}
    assert owners == {"one": {".spec.labels.a"}, "kubectl": {".spec.size"}}
    with pytest.raises(ApiError) as caught:
        apply(changed, "one", size=3)
    assert caught.value.message == 'Apply failed with 1 conflict: conflict with "kubectl" using e/v1: .spec.size'


def test_an_unmanaged_object_belongs_to_before_first_apply() -> None:
    """Fields of an object without managedFields conflict with `before-first-apply`."""
    live = widget(size=1)
    live["metadata"]["uid"] = "u"
    with pytest.raises(ApiError, match="before-first-apply"):
        apply(live, "one", size=2)


specs = st.fixed_dictionaries(
    {},
    optional={
        "size": st.integers(0, 3),
        "names": st.lists(st.sampled_from("abc"), unique=True),
        "labels": st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy")),
        "parts": st.lists(
            st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"n": st.integers(0, 3)}),
            unique_by=lambda part: part["name"],
        ),
    },
)


@given(specs, specs)
def test_apply_twice_is_apply_once(first: dict[str, Any], second: dict[str, Any]) -> None:
    """Applying the same configuration again changes nothing, whatever somebody else applied before."""
    live = apply(EMPTY, "other", **first)
    once = apply(live, "me", force=True, **second)
    assert apply(once, "me", **second) == once


@given(specs, specs)
def test_a_sole_applier_gets_what_it_states(first: dict[str, Any], second: dict[str, Any]) -> None:
    """With one manager the object is what it applied last: what is left out is gone."""
    final = apply(apply(EMPTY, "me", **first), "me", **second)

    def settled(spec: dict[str, Any]) -> dict[str, Any]:
        by_name = sorted(spec.get("parts", ()), key=lambda part: str(part["name"]))
        found = {**spec, "parts": by_name, "names": sorted(spec.get("names", ()))}
        return {key: value for key, value in found.items() if value not in ([], {})}

    assert settled(final.get("spec", {})) == settled(second)


@given(st.sets(st.lists(st.sampled_from(["f:a", "f:b", 'k:{"n":1}', 'v:"x"']), min_size=1, max_size=4).map(tuple)))
def test_fields_v1_round_trip(fields: set[tuple[str, ...]]) -> None:
    """Encoding a set of fields and decoding it gives the same set."""
    assert from_fields_v1(to_fields_v1(fields)) == fields


values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from("abcd"), values), st.dictionaries(st.sampled_from("abcd"), values))
def test_merge_patch_is_idempotent(target: dict[str, Any], patch: dict[str, Any]) -> None:
    """A merge patch applied twice does what it does once, and leaves its arguments alone."""
    before = repr((target, patch))
    once = merge_patch(target, patch)
    assert merge_patch(once, patch) == once
    assert repr((target, patch)) == before


@pytest.mark.parametrize(
    ("schema", "shape"),
    [
        ({"type": "string"}, "scalar"),
        ({"x-kubernetes-int-or-string": True}, "scalar"),
        ({"type": "object", "properties": {}}, "struct"),
        ({"type": "object", "additionalProperties": {"type": "string"}}, "map"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "deduced"),
        ({"type": "array", "items": {}}, "atomic"),
        ({"type": "array", "items": {}, "x-kubernetes-list-type": "set"}, "list-set"),
        ({"type": "object", "properties": {}, "x-kubernetes-map-type": "atomic"}, "atomic"),
    ],
)
def test_shapes(schema: dict[str, Any], shape: str) -> None:
    """A schema decides how its value merges."""
    assert FieldType(schema).shape == shape
