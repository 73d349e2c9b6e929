"""What is wrong with a value, in kube-apiserver's own sentences."""

from typing import Any

import pytest

from sandbox.apiserver.schema import CompiledSchema

TEXT = {"type": "string"}
COUNT = {"type": "integer"}


def spec_of(schema: dict[str, Any]) -> CompiledSchema:
    """A kind whose only field is `spec.x`."""
    spec = {"type": "object", "properties": {"x": schema}}
    return CompiledSchema({"type": "object", "properties": {"spec": spec}})


def faults(schema: dict[str, Any], value: object, old: object = ...) -> list[str]:
    """The lines for `spec.x: value`, created or updated from `old`."""
    previous = None if old is ... else {"spec": {"x": old}}
    return [str(error) for error in spec_of(schema).validate({"spec": {"x": value}}, previous)]


@pytest.mark.parametrize(
    ("schema", "value", "line"),
    [
        (TEXT, 5, 'spec.x: Invalid value: "integer": spec.x in body must be of type string: "integer"'),
        (TEXT, None, 'spec.x: Invalid value: "null": spec.x in body must be of type string: "null"'),
        (COUNT, "5", 'spec.x: Invalid value: "string": spec.x in body must be of type integer: "string"'),
        (COUNT, True, 'spec.x: Invalid value: "boolean": spec.x in body must be of type integer: "boolean"'),
        (COUNT, 1.5, 'spec.x: Invalid value: "number": spec.x in body must be of type integer: "number"'),
        (
            {"x-kubernetes-int-or-string": True},
            [],
            'spec.x: Invalid value: "array": spec.x in body must be of type integer,string: "array"',
        ),
        (
            {**TEXT, "enum": ["A", "B"]},
            "x",
            'spec.x: Unsupported value: "x": supported values: "A", "B"',
        ),
        (
            {**TEXT, "pattern": "^[a-z]+$"},
            "X",
            "spec.x: Invalid value: \"X\": spec.x in body should match '^[a-z]+$'",
        ),
        ({**TEXT, "maxLength": 2}, "abc", "spec.x: Too long: may not be more than 2 bytes"),
        ({**TEXT, "maxLength": 1}, "abc", "spec.x: Too long: may not be more than 1 byte"),
        (
            {**TEXT, "minLength": 1},
            "",
            'spec.x: Invalid value: "": spec.x in body should be at least 1 chars long',
        ),
        (
            {**TEXT, "format": "date-time"},
            "yesterday",
            'spec.x: Invalid value: "yesterday": spec.x in body must be of type date-time: "yesterday"',
        ),
        (
            {**COUNT, "minimum": 1},
            0,
            "spec.x: Invalid value: 0: spec.x in body should be greater than or equal to 1",
        ),
        (
            {**COUNT, "minimum": 1, "exclusiveMinimum": True},
            1,
            "spec.x: Invalid value: 1: spec.x in body should be greater than 1",
        ),
        (
            {**COUNT, "maximum": 5},
            6,
            "spec.x: Invalid value: 6: spec.x in body should be less than or equal to 5",
        ),
        (
            {"type": "number", "maximum": 0.5, "exclusiveMaximum": True},
            0.5,
            "spec.x: Invalid value: 0.5: spec.x in body should be less than 0.5",
        ),
        ({**COUNT, "multipleOf": 4}, 6, "spec.x: Invalid value: 6: spec.x in body should be a multiple of 4"),
        (
            {**COUNT, "format": "int32"},
            1 << 31,
            'spec.x: Invalid value: 2147483648: spec.x in body must be of type int32: "2147483648"',
        ),
        (
            {"type": "array", "items": TEXT, "maxItems": 1},
            ["a", "b"],
            "spec.x: Too many: 2: must have at most 1 item",
        ),
        (
            {"type": "array", "items": TEXT, "minItems": 1},
            [],
            "spec.x: Invalid value: 0: spec.x in body should have at least 1 items",
        ),
        (
            {"type": "array", "items": COUNT},
            [1, "b"],
            'spec.x[1]: Invalid value: "string": spec.x[1] in body must be of type integer: "string"',
        ),
        (
            {"type": "object", "additionalProperties": TEXT, "maxProperties": 1},
            {"a": "1", "b": "2"},
            "spec.x: Too many: 2: must have at most 1 item",
        ),
        (
            {"type": "object", "additionalProperties": COUNT},
            {"a": "1"},
            'spec.x.a: Invalid value: "string": spec.x.a in body must be of type integer: "string"',
        ),
        ({"type": "object", "properties": {"y": TEXT}, "required": ["y"]}, {}, "spec.x.y: Required value"),
        (
            {"type": "array", "items": TEXT, "x-kubernetes-list-type": "set"},
            ["a", "b", "a", "a"],
            'spec.x[2]: Duplicate value: "a"',
        ),
        (
            {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
                "items": {"type": "object", "properties": {"k": TEXT}, "required": ["k"]},
            },
            [{"k": "a"}, {"k": "a"}],
            'spec.x[1]: Duplicate value: {"k":"a"}',
        ),
    ],
)
def test_one_fault(schema: dict[str, Any], value: object, line: str) -> None:
    """A wrong value gives exactly the line that the real server prints."""
    assert faults(schema, value) == [line]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (COUNT, 1.0),
        ({"type": "number"}, 1),
        ({**TEXT, "nullable": True}, None),
        ({"x-kubernetes-int-or-string": True}, "10%"),
        ({"x-kubernetes-int-or-string": True}, 10),
        ({**TEXT, "maxLength": 2}, "éé"),
        ({**TEXT, "enum": ["A"]}, "A"),
        ({**TEXT, "format": "made-up"}, "anything"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, {"any": [1, {"x": None}]}),
        ({"x-kubernetes-preserve-unknown-fields": True}, [1, "a"]),
    ],
)
def test_no_fault(schema: dict[str, Any], value: object) -> None:
    """What the schema allows gives no line."""
    assert faults(schema, value) == []


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        (
            "date-time",
            ["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.123456789+01:00"],
            ["2026-01-02", "2026-13-01T00:00:00Z"],
        ),
        ("date", ["2026-01-02"], ["2026-1-2", "x"]),
        ("duration", ["1h30m", "0", "1.5s", "-2ms"], ["5 minutes", "", "1", "h"]),
        ("byte", ["aGk=", ""], ["aGk", "*"]),
        ("ipv4", ["10.0.0.1"], ["10.0.0.256", "::1"]),
        ("ipv6", ["::1"], ["10.0.0.1"]),
        ("cidr", ["10.0.0.0/8"], ["10.0.0.0/99"]),
        ("uri", ["https://a/b", "/a"], ["a b"]),
        ("uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]),
        ("hostname", ["a.example.com"], ["-a", "a_b"]),
    ],
)
def test_formats(name: str, good: list[str], bad: list[str]) -> None:
    """A format takes its own strings and refuses others."""
    schema = {**TEXT, "format": name}
    assert [text for text in good if faults(schema, text)] == []
    assert [text for text in bad if not faults(schema, text)] == []


def test_pattern_ends_at_the_end() -> None:
    """`$` does not match before a final newline, as it does not in RE2."""
    assert faults({**TEXT, "pattern": "^a$"}, "a\n")


@pytest.mark.parametrize(
    ("logic", "value", "lines"),
    [
        ({"anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, []),
        (
            {"anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {},
            [
                '<nil>: Invalid value: "": "spec.x" must validate at least one schema (anyOf)',
                "spec.x.a: Required value",
            ],
        ),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, []),
        (
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {},
            [
                '<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). Found none valid',
                "spec.x.a: Required value",
            ],
        ),
        (
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": 1, "b": 2},
            [
                (
                    '<nil>: Invalid value: "": "spec.x" must validate one and only one schema (oneOf). '
                    "Found 2 valid alternatives"
                )
            ],
        ),
        (
            {"allOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": 1},
            ['<nil>: Invalid value: "": "spec.x" must validate all the schemas (allOf)', "spec.x.b: Required value"],
        ),
        ({"not": {"required": ["a"]}}, {"b": 1}, []),
        (
            {"not": {"required": ["a"]}},
            {"a": 1},
            ['<nil>: Invalid value: "": "spec.x" must not validate the schema (not)'],
        ),
    ],
)
def test_logic(logic: dict[str, Any], value: object, lines: list[str]) -> None:
    """allOf, anyOf, oneOf and not add their own line, without a path, and the nearest alternative's."""
    schema = {"type": "object", "properties": {"a": COUNT, "b": COUNT}, **logic}
    assert faults(schema, value) == lines


@pytest.mark.parametrize(
    ("value", "old", "is_refused"),
    [
        ({"y": "bad", "z": "1"}, {"y": "bad", "z": "2"}, False),
        ({"y": "bad"}, {"y": "worse"}, True),
        ({"y": "bad"}, {}, True),
    ],
)
def test_old_faults_are_forgiven(value: object, old: object, is_refused: bool) -> None:
    """An update is not refused for a fault in a part that it does not change."""
    schema = {"type": "object", "properties": {"y": {**TEXT, "enum": ["good"]}, "z": TEXT}}
    assert bool(faults(schema, value, old)) == is_refused


def test_faults_in_atomic_lists_are_not_forgiven() -> None:
    """Items of a list without keys have no old counterpart, so a change next to a bad item is refused."""
    schema = {"type": "array", "items": {**TEXT, "enum": ["good"]}}
    assert faults(schema, ["bad", "good"], ["bad"])
    assert not faults(schema, ["bad"], ["bad"])
