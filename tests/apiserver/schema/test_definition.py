"""Which definitions are refused, and with which words."""

from typing import Any

import pytest

from sandbox.apiserver.schema import check_definition

TEXT = {"type": "string"}
ROOT = "spec.validation.openAPIV3Schema"
ADVICE = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings "
    "are declared)"
)


def definition(schema: dict[str, Any]) -> dict[str, Any]:
    """A CRD with one version of this schema."""
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "boxes", "singular": "box", "kind": "Box", "listKind": "BoxList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "boxes.example.com"}, "spec": spec}


def faults(part: dict[str, Any]) -> list[str]:
    """The lines for a definition whose `spec` has this schema, without the path to it."""
    errors = check_definition(definition({"type": "object", "properties": {"spec": part}}))
    return [str(error).removeprefix(f"{ROOT}.properties[spec].") for error in errors]


def keyed_list(**changes: Any) -> dict[str, Any]:
    """A list of type map with the key `k`."""
    items = {"type": "object", "properties": {"k": TEXT}, "required": ["k"]}
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": items}
    return {**keyed, **changes}


@pytest.mark.parametrize(
    ("part", "line"),
    [
        ({}, "type: Required value: must not be empty for specified object fields"),
        (
            {"type": "text"},
            (
                'type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", '
                '"object", "string"'
            ),
        ),
        ({"type": "array"}, "items: Required value: must be specified"),
        ({"type": "array", "items": {}}, "items.type: Required value: must not be empty for specified array items"),
        (
            {"type": "array", "items": {"description": "any"}},
            "items.type: Required value: must not be empty for specified array items",
        ),
        ({**TEXT, "$ref": "#/x"}, "$ref: Forbidden: $ref is not supported"),
        (
            {"type": "array", "items": TEXT, "uniqueItems": True},
            "uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ),
        (
            {"type": "object", "additionalProperties": False},
            "additionalProperties: Forbidden: additionalProperties cannot be set to false",
        ),
        (
            {"type": "object", "additionalProperties": TEXT, "properties": {"a": TEXT}},
            "additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive",
        ),
        (
            {"type": "object", "properties": {"a": TEXT}, "anyOf": [{"properties": {"a": {"type": "string"}}}]},
            "anyOf[0].properties[a].type: Forbidden: must be empty to be structural",
        ),
        (
            {"type": "object", "anyOf": [{"properties": {"a": {"minLength": 1}}}]},
            f"properties[a]: Required value: because it is defined in {ROOT}.properties[spec].anyOf[0].properties[a]",
        ),
        (
            {**TEXT, "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True},
            'type: Invalid value: "string": must be object if x-kubernetes-embedded-resource is true',
        ),
        (
            {**TEXT, "x-kubernetes-list-type": "set"},
            'type: Invalid value: "string": must be array if x-kubernetes-list-type is specified',
        ),
        (
            keyed_list(**{"x-kubernetes-list-type": "bag", "x-kubernetes-list-map-keys": []}),
            'x-kubernetes-list-type: Unsupported value: "bag": supported values: "atomic", "map", "set"',
        ),
        (
            keyed_list(**{"x-kubernetes-list-map-keys": []}),
            "x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
        ),
        (
            keyed_list(**{"x-kubernetes-list-map-keys": ["z"]}),
            'x-kubernetes-list-map-keys: Invalid value: ["z"]: entries must all be names of item properties',
        ),
        (
            keyed_list(items={"type": "object", "properties": {"k": TEXT}}),
            (
                "items.properties[k].default: Required value: this property is in x-kubernetes-list-map-keys, "
                "so it must have a default or be a required property"
            ),
        ),
        (
            keyed_list(**{"x-kubernetes-list-type": "atomic"}),
            'x-kubernetes-list-type: Invalid value: "atomic": must be map if x-kubernetes-list-map-keys is non-empty',
        ),
        (
            {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "object"}},
            (
                "items.x-kubernetes-map-type: Invalid value: null: "
                "must be atomic as item of a list with x-kubernetes-list-type=set"
            ),
        ),
        (
            {"type": "integer", "default": "x"},
            'default: Invalid value: "string":  in body must be of type integer: "string"',
        ),
        (
            {"type": "object", "properties": {"a": TEXT}, "default": {"b": 1}},
            'default: Invalid value: {"b":1}: must not have unknown fields',
        ),
    ],
)
def test_unstructural_schemas(part: dict[str, Any], line: str) -> None:
    """Each break of the rules of structural schemas gives its own line."""
    assert faults(part) == [line]


def test_bad_pattern() -> None:
    """A pattern outside RE2's dialect is refused."""
    assert faults({**TEXT, "pattern": "(?=a)"})[0].startswith(
        'pattern: Invalid value: "(?=a)": must be a valid regular expression, but isn\'t: '
    )


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"spec.names.plural": "crates"},
            'metadata.name: Invalid value: "boxes.example.com": must be spec.names.plural+"."+spec.group',
        ),
        ({"spec.scope": "World"}, 'spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"'),
        ({"spec.scope": ""}, "spec.scope: Required value"),
        (
            {"spec.versions": []},
            "spec.versions: Invalid value: []: must have exactly one version marked as storage version",
        ),
        (
            {"spec.versions": [{"name": "v1", "storage": True}]},
            "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required",
        ),
    ],
)
def test_names_and_versions(change: dict[str, object], line: str) -> None:
    """The frame around the schema is checked too."""
    crd = definition({"type": "object"})
    for path, value in change.items():
        *parents, last = path.split(".")
        at: Any = crd
        for name in parents:
            at = at[name]
        at[last] = value
    assert [str(error) for error in check_definition(crd)] == [line]


def test_versions_that_differ_are_named_one_by_one() -> None:
    """The path leads to the version, unless all versions share one schema."""
    crd = definition({"type": "object"})
    bad = {"name": "v2", "served": True, "storage": False, "schema": {"openAPIV3Schema": {"type": "string"}}}
    crd["spec"]["versions"].append(bad)
    path = "spec.versions[1].schema.openAPIV3Schema.type"
    assert [str(error) for error in check_definition(crd)] == [
        f'{path}: Invalid value: "string": must be object at the root'
    ]


def rule_faults(schema: dict[str, Any], **rule: Any) -> list[str]:
    """The details of the lines about one rule of `spec`."""
    errors = check_definition(
        definition({"type": "object", "properties": {"spec": {**schema, "x-kubernetes-validations": [rule]}}})
    )
    prefix = f"{ROOT}.properties[spec].x-kubernetes-validations[0]."
    return [f"{error.path.removeprefix(prefix)}: {error.detail}" for error in errors]


BOX: dict[str, Any] = {
    "type": "object",
    "properties": {
        "s": {**TEXT, "maxLength": 20},
        "i": {"type": "integer"},
        "l": {"type": "array", "items": {**TEXT, "maxLength": 20}, "maxItems": 5},
    },
}


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"rule": " "}, "rule: rule is not specified"),
        ({"rule": "true\n|| true"}, "message: message must be specified if rule contains line breaks"),
        ({"rule": "true", "message": "a\nb"}, "message: message must not contain line breaks"),
        (
            {"rule": "true", "fieldPath": ".z"},
            "fieldPath: fieldPath must be a valid path: does not refer to a valid field",
        ),
        ({"rule": "self.s"}, "rule: cel expression must evaluate to a bool"),
        (
            {"rule": "true", "messageExpression": "1"},
            "messageExpression: messageExpression must evaluate to a string",
        ),
        (
            {"rule": "true", "optionalOldSelf": True},
            "optionalOldSelf: optionalOldSelf may not be set to true if oldSelf is not used in rule",
        ),
        (
            {"rule": "self.z == 'a'"},
            "rule: compilation failed: ERROR: <input>:1:5: undefined field 'z'\n | self.z == 'a'\n | ....^",
        ),
        (
            {"rule": "self.s == 1"},
            (
                "rule: compilation failed: ERROR: <input>:1:8: found no matching overload for '_==_' applied to "
                "'(string, int)'\n | self.s == 1\n | .......^"
            ),
        ),
        (
            {"rule": "self.s.shout()"},
            (
                "rule: compilation failed: ERROR: <input>:1:8: undeclared reference to 'shout' (in container '')\n"
                " | self.s.shout()\n | .......^"
            ),
        ),
        (
            {"rule": "other == 1"},
            (
                "rule: compilation failed: ERROR: <input>:1:1: undeclared reference to 'other' (in container '')\n"
                " | other == 1\n | ^"
            ),
        ),
    ],
)
def test_rules_that_do_not_compile(rule: dict[str, Any], line: str) -> None:
    """A rule with wrong words, fields, types or functions is refused, with the place of the fault."""
    assert rule_faults(BOX, **rule) == [line]


@pytest.mark.parametrize(
    "rule",
    [
        "self.l.all(x, x.startsWith('a') && !(x in ['b']))",
        "self.l.exists_one(x, x == 'a') || self.l.map(x, x.size()).sum() > 3",
        "self.l.map(x, x != '', x + 'a') == ['b']",
        'has(self.i) ? self.i > 1 && self.i < 2.5 : self.s == "a\'b"',
        "{'a': 1}['a'] == 1 && size([1, 2]) == 2 && -1 < 1 && 0x1F == 31 && 1u < 2u",
        "self.s.split(',').filter(p, p.trim() != '').size() > 0  // a remark",
        r"self.s.matches(r'^\d+$') && '''x''' != 'y'",
    ],
)
def test_rules_that_compile(rule: str) -> None:
    """The grammar's corners are understood."""
    assert rule_faults(BOX, rule=rule) == []


def limited(maximum: int | None, longest: int | None) -> dict[str, Any]:
    """A spec with a list of strings, bounded as given."""
    items = {**TEXT, **({"maxLength": longest} if longest else {})}
    bounds = {"maxItems": maximum} if maximum else {}
    return {"type": "object", "properties": {"l": {"type": "array", "items": items, **bounds}}}


@pytest.mark.parametrize(
    ("maximum", "longest", "rule", "factor"),
    [
        (None, None, "self.l.all(x, self.l.all(y, x == y))", "more than 100x"),
        (None, None, "self.l.all(x, x.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))", "more than 100x"),
        (100, None, "self.l.all(x, x == 'a')", None),
        (100, 63, "self.l.all(x, self.l.exists_one(y, x == y))", None),
        (1000, 253, "self.l.all(x, self.l.exists_one(y, x == y))", "10.6x"),
        (None, 63, "self.l.size() < 5", None),
    ],
)
def test_rules_that_cost_too_much(maximum: int | None, longest: int | None, rule: str, factor: str | None) -> None:
    """Rules in unlimited lists and on unlimited strings are refused; maxima make them affordable."""
    found = [line for line in rule_faults(limited(maximum, longest), rule=rule) if line.startswith("rule: estimated")]
    assert found == ([f"rule: estimated rule cost exceeds budget by factor of {factor} {ADVICE}"] if factor else [])


def test_rules_inside_unlimited_lists_count_for_every_item() -> None:
    """A rule on items is multiplied by the number of items, which without maxItems is what fits into a request."""
    rule = {"rule": "self.contains('x')"}
    items = {**TEXT, "maxLength": 1000, "x-kubernetes-validations": [rule]}
    unlimited = {"type": "object", "properties": {"l": {"type": "array", "items": items}}}
    limited_list = {"type": "object", "properties": {"l": {"type": "array", "items": items, "maxItems": 100}}}
    assert any("exceeds budget by factor of" in line for line in faults(unlimited))
    assert faults(limited_list) == []


def test_many_affordable_rules_may_be_too_many() -> None:
    """The sum over a schema has a budget of its own; the most expensive rules are named."""
    items = {**TEXT, "maxLength": 1000, "x-kubernetes-validations": [{"rule": "self.contains('x')"}]}
    part = {"type": "array", "items": items, "maxItems": 20000}
    spec = {"type": "object", "properties": {f"l{number}": part for number in range(15)}}
    found = faults(spec)
    assert sum("contributed to estimated rule cost total" in line for line in found) == 4
    assert found[-1].startswith(
        f"{ROOT}: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema "
        "exceeds budget by factor of "
    )


def test_old_self_needs_something_to_compare_with() -> None:
    """Transition rules inside lists without keys could never run, so they are refused."""
    items = {**TEXT, "x-kubernetes-validations": [{"rule": "self == oldSelf"}]}
    found = faults({"type": "array", "items": items, "maxItems": 5})
    path = f"{ROOT}.properties[spec].items"
    assert found == [
        (
            'items.x-kubernetes-validations[0].rule: Invalid value: "self == oldSelf": oldSelf cannot be used on the '
            f"uncorrelatable portion of the schema within {path}"
        )
    ]
