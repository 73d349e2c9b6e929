"""CEL rules: what they see, when they run, and what they say."""

from typing import Any

import pytest

from sandbox.apiserver.schema import CompiledSchema

TEXT = {"type": "string"}
LIST = {"type": "array", "items": TEXT}
PARTS: dict[str, Any] = {
    "s": TEXT,
    "i": {"type": "integer"},
    "n": {"type": "number"},
    "l": LIST,
    "m": {"type": "object", "additionalProperties": TEXT},
    "t": {"type": "string", "format": "date-time"},
    "d": {"type": "string", "format": "duration"},
    "b": {"type": "string", "format": "byte"},
    "q": {"x-kubernetes-int-or-string": True},
    "namespace": TEXT,
    "a-b": TEXT,
    "c.d": TEXT,
    "e__f": TEXT,
}


def ruled(schema: dict[str, Any], *rules: dict[str, Any]) -> CompiledSchema:
    """A kind whose spec has this schema and these rules."""
    spec = {**schema, "x-kubernetes-validations": list(rules)}
    return CompiledSchema({"type": "object", "properties": {"spec": spec}})


def lines(kind: CompiledSchema, spec: object, old: object = None) -> list[str]:
    """What the rules say about a spec, created or updated from `old`."""
    return [str(error) for error in kind.validate({"spec": spec}, None if old is None else {"spec": old})]


@pytest.mark.parametrize(
    ("rule", "spec"),
    [
        ("has(self.s) && !has(self.i)", {"s": "x"}),
        ("size(self.s) == 2 && self.s.size() == 2", {"s": "é1"}),
        ("self.s.matches('^a+$') && self.s.startsWith('a')", {"s": "aa"}),
        ("self.l.all(x, x != '') && self.l.exists(x, x == 'b')", {"l": ["a", "b"]}),
        ("self.l.map(x, x + '!') == ['a!']", {"l": ["a"]}),
        ("self.l.filter(x, x > 'a').size() == 1", {"l": ["a", "b"]}),
        ("self.l.isSorted() && self.l.indexOf('b') == 1 && self.l.max() == 'b'", {"l": ["a", "b"]}),
        ("self.m.all(k, self.m[k] == 'v')", {"m": {"k": "v"}}),
        ("self.n + 1.0 == 3.0", {"n": 2}),
        ("self.n < 3", {"n": 2}),
        ("self.t > timestamp('2026-01-01T00:00:00Z') && self.t.getFullYear() == 2026", {"t": "2026-05-01T00:00:00Z"}),
        ("self.d <= duration('90m')", {"d": "1h30m"}),
        ("self.b == b'hi'", {"b": "aGk="}),
        ("type(self.q) == int ? self.q > 1 : self.q.endsWith('%')", {"q": "5%"}),
        ("type(self.q) == int ? self.q > 1 : self.q.endsWith('%')", {"q": 5}),
        ("self.__namespace__ == 'x'", {"namespace": "x"}),
        ("self.a__dash__b == 'x' && self.c__dot__d == 'y'", {"a-b": "x", "c.d": "y"}),
        ("self.e__underscores__f == 'x'", {"e__f": "x"}),
        ("quantity(self.s).isGreaterThan(quantity('1023Mi'))", {"s": "1Gi"}),
        ("quantity('1000m') == quantity('1') && !isQuantity('x')", {}),
        ("quantity('1Gi').add(quantity('1Gi')).compareTo(quantity('2Gi')) == 0", {}),
        ("isURL(self.s) && url(self.s).getHost() == 'h:1' && url(self.s).getHostname() == 'h'", {"s": "https://h:1/p"}),
        ("isIP('10.0.0.1') && ip('::1').family() == 6 && cidr('10.0.0.0/8').containsIP('10.1.1.1')", {}),
        ("'%s has %d'.format([self.s, 2]) == 'x has 2'", {"s": "x"}),
        ("'a,b'.split(',').join('-') == 'a-b' && 'aB'.lowerAscii() == 'ab'", {}),
        ("'ab12'.find('[0-9]+') == '12'", {}),
    ],
)
def test_what_rules_can_say(rule: str, spec: dict[str, object]) -> None:
    """Kubernetes' functions, types by format and escaped names work: the rule holds and its opposite fails."""
    schema = {"type": "object", "properties": PARTS}
    assert lines(ruled(schema, {"rule": rule}), spec) == []
    assert lines(ruled(schema, {"rule": f"!({rule})"}), spec) != []


SPEC: dict[str, Any] = {"type": "object", "properties": {"a": TEXT, "i": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ({"rule": "false"}, "spec: Invalid value: failed rule: false"),
        ({"rule": "false", "message": "no way"}, "spec: Invalid value: no way"),
        ({"rule": "false", "message": "no", "reason": "FieldValueForbidden"}, "spec: Forbidden: no"),
        ({"rule": "false", "message": "no", "reason": "FieldValueRequired"}, "spec: Required value: no"),
        ({"rule": "false", "message": "no", "fieldPath": ".a"}, "spec.a: Invalid value: no"),
        ({"rule": "false", "message": "m", "messageExpression": "'a is ' + self.a"}, "spec: Invalid value: a is x"),
        ({"rule": "false", "message": "m", "messageExpression": "self.a + self.missing"}, "spec: Invalid value: m"),
        ({"rule": "1 / self.i == 1"}, "spec: Invalid value: division by zero evaluating rule: 1 / self.i == 1"),
    ],
)
def test_what_failing_rules_say(rule: dict[str, Any], line: str) -> None:
    """Message, messageExpression, reason and fieldPath make the line; objects are not printed."""
    assert lines(ruled(SPEC, rule), {"a": "x", "i": 0}) == [line]


def test_scalars_are_printed() -> None:
    """The fault of a scalar shows its value, as kube-apiserver 1.36 does."""
    part = {**TEXT, "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "a is immutable"}]}
    kind = ruled({"type": "object", "properties": {"a": part}})
    assert lines(kind, {"a": "x"}, {"a": "y"}) == ['spec.a: Invalid value: "x": a is immutable']


IMMUTABLE = {"rule": "self == oldSelf", "message": "fixed"}


@pytest.mark.parametrize(
    ("spec", "old", "fails"),
    [
        ({"a": "x"}, None, False),
        ({"a": "x"}, {"a": "x"}, False),
        ({"a": "x"}, {"a": "y"}, True),
        ({"a": "x"}, {}, True),
    ],
)
def test_transition_rules(spec: object, old: object, *, fails: bool) -> None:
    """A rule about oldSelf runs on updates only."""
    assert bool(lines(ruled(SPEC, IMMUTABLE), spec, old)) == fails


def test_transition_rules_follow_the_keys_of_a_list() -> None:
    """Items of a map list are compared with the old item of the same key, wherever it stands; new ones are free."""
    part = {**TEXT, "x-kubernetes-validations": [IMMUTABLE]}
    items = {"type": "object", "properties": {"k": TEXT, "v": part}, "required": ["k"]}
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": items}
    kind = CompiledSchema({"type": "object", "properties": {"spec": keyed}})
    old = [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}]
    assert lines(kind, [{"k": "b", "v": "2"}, {"k": "c", "v": "3"}, {"k": "a", "v": "1"}], old) == []
    assert lines(kind, [{"k": "b", "v": "9"}], old) == ['spec[0].v: Invalid value: "9": fixed']


def test_optional_old_self() -> None:
    """With optionalOldSelf the rule also runs where there is nothing old, and can ask."""
    rule = {"rule": "!oldSelf.hasValue() || oldSelf.value() == self", "optionalOldSelf": True}
    kind = ruled(SPEC, rule)
    assert lines(kind, {"a": "x"}) == []
    assert lines(kind, {"a": "x"}, {"a": "y"}) != []
    created = ruled(SPEC, {"rule": "oldSelf.hasValue()", "optionalOldSelf": True})
    assert lines(created, {"a": "x"}) != []


def test_unchanged_parts_are_forgiven() -> None:
    """A rule that fails on what an update leaves alone does not refuse the update."""
    part = {**TEXT, "x-kubernetes-validations": [{"rule": "self != 'bad'"}]}
    kind = ruled({"type": "object", "properties": {"a": part, "i": {"type": "integer"}}})
    assert lines(kind, {"a": "bad", "i": 2}, {"a": "bad", "i": 1}) == []
    assert lines(kind, {"a": "bad"}, {"a": "good"}) != []


def test_rules_wait_for_the_schema() -> None:
    """An object that does not fit the schema is not shown to the rules, which rely on its types."""
    kind = ruled(SPEC, {"rule": "self.i < 5"})
    assert [line for line in lines(kind, {"i": "x"}) if "evaluating rule" in line] == []


def test_the_root_sees_its_name() -> None:
    """A rule at the root may use metadata.name, and nothing else of metadata."""
    root = {"type": "object", "x-kubernetes-validations": [{"rule": "self.metadata.name.startsWith('a')"}]}
    kind = CompiledSchema(root)
    assert kind.validate({"metadata": {"name": "ab"}}) == []
    assert kind.validate({"metadata": {"name": "b"}}) != []
