"""x-kubernetes-validations: CEL rules, compiled once and evaluated on every write."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import cel

from sandbox.apiserver.schema.celcheck.tokens import tokenize
from sandbox.apiserver.schema.celvalues import cel_value
from sandbox.apiserver.schema.correlation import UNCORRELATED, old_entry, old_item
from sandbox.apiserver.schema.fields import OMITTED, ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.library import OWN_SIZE, functions_for
from sandbox.apiserver.schema.structure import Node, RuleText

_KINDS: Final = {
    "FieldValueForbidden": ErrorKind.FORBIDDEN,
    "FieldValueRequired": ErrorKind.REQUIRED,
    "FieldValueDuplicate": ErrorKind.DUPLICATE,
}
_LONGEST_MESSAGE: Final = 5 * 1024
"""Bytes of an evaluated messageExpression; longer ones are not used."""


class RuleError(Exception):
    """A rule could not be evaluated on this object."""


class Expression:
    """A compiled CEL expression over `self` and `oldSelf`."""

    def __init__(self, source: str) -> None:
        self._program = cel.compile(_with_own_size(source))
        self._functions = functions_for(self._program.functions())
        self.uses_old_self = "oldSelf" in self._program.variables()

    def evaluate(self, variables: Mapping[str, object]) -> object:
        """The value; RuleError with kube-apiserver's words if there is none."""
        context = cel.Context(variables=dict(variables), functions=self._functions)
        try:
            return self._program.execute(context)
        except (KeyError, IndexError, ArithmeticError, TypeError, ValueError, RuntimeError) as error:
            raise RuleError(_said(error)) from error


def _with_own_size(source: str) -> str:
    """The expression with our size(): the library's counts the bytes of a string, and cannot be replaced by name."""
    parts, end = [], 0
    for token, following in pairwise(tokenize(source)):
        if token.text == "size" and following.text == "(":
            parts.append(source[end : token.offset])
            parts.append(OWN_SIZE)
            end = token.offset + len(token.text)
    return "".join(parts) + source[end:]


def _said(error: Exception) -> str:
    match error:
        case KeyError():
            return f"no such key: {error.args[0]}"
        case ZeroDivisionError():
            return "division by zero"
        case OverflowError():
            return "integer overflow"
        case TypeError():
            return "no such overload"
        case _:
            return str(error)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, ready to run."""

    text: RuleText
    condition: Expression
    message: Expression | None

    @property
    def title(self) -> str:
        """How errors name the rule."""
        return self.text.message.strip() or self.text.rule.strip()


def compile_rule(text: RuleText) -> Rule:
    """Compile the rule and its messageExpression; ValueError says what is wrong with the syntax."""
    message = Expression(text.message_expression) if text.message_expression else None
    return Rule(text, Expression(text.rule), message)


class RuleSet:
    """All rules of a schema."""

    def __init__(self, root: Node) -> None:
        self._root = root
        self._rules: dict[int, list[Rule]] = {}
        self._compile(root)

    def _compile(self, node: Node) -> None:
        if not node.rules_below:
            return
        if node.rules:
            self._rules[id(node)] = [compile_rule(text) for text in node.rules]
        for part in (*node.properties.values(), node.items, node.additional_node()):
            if part:
                self._compile(part)

    def validate(self, value: object, old: object = None) -> list[FieldError]:
        """The rules that fail. Transition rules run where there is an old value to compare with."""
        previous = UNCORRELATED if old is None else old
        return list(self._walk(value, previous, self._root, "", is_root=True))

    def _walk(self, value: object, old: object, node: Node, path: str, *, is_root: bool) -> Iterator[FieldError]:
        if not node.rules_below or value is None:
            return
        if rules := self._rules.get(id(node)):
            yield from _evaluate(rules, value, old, node, path, is_root=is_root)
        if isinstance(value, dict):
            for name, part in value.items():
                if declared := node.part(name):
                    below = child(path, name) if name in node.properties else entry(path, name)
                    yield from self._walk(part, old_entry(node, old, name), declared, below, is_root=declared.embedded)
        elif isinstance(value, list) and node.items:
            for index, item in enumerate(value):
                previous = old_item(node, old, item)
                yield from self._walk(item, previous, node.items, entry(path, index), is_root=node.items.embedded)


def _evaluate(
    rules: list[Rule], value: object, old: object, node: Node, path: str, *, is_root: bool
) -> Iterator[FieldError]:
    has_old = old is not UNCORRELATED and old is not None
    current = cel_value(value, node, is_root=is_root)
    previous = cel_value(old, node, is_root=is_root) if has_old else None
    for rule in rules:
        uses_old = rule.condition.uses_old_self
        if uses_old and not has_old and not rule.text.optional_old_self:
            continue
        if not uses_old and has_old and value == old:
            continue  # ratcheting: what was there before is not held against this write
        variables: dict[str, Any] = {"self": current, "oldSelf": previous}
        if rule.text.optional_old_self:
            variables["oldSelf"] = cel.OptionalValue.of(previous) if has_old else cel.OptionalValue.none()
        try:
            holds = rule.condition.evaluate(variables)
        except RuleError as error:
            yield FieldError(path, ErrorKind.INVALID, _bad_value(value), _failure(error, rule))
            continue
        if holds is not True:
            yield _violation(rule, value, path, variables)


def _failure(error: RuleError, rule: Rule) -> str:
    if str(error) == "no such overload":
        advice = "call arguments did not match a supported operator, function or macro signature for rule"
        return f"'{error}': {advice}: {rule.title}"
    return f"{error} evaluating rule: {rule.title}"


def _violation(rule: Rule, value: object, path: str, variables: Mapping[str, object]) -> FieldError:
    detail = _evaluated_message(rule, variables) or rule.text.message.strip() or f"failed rule: {rule.title}"
    kind = _KINDS.get(rule.text.reason, ErrorKind.INVALID)
    if kind is ErrorKind.DUPLICATE:
        detail = ""
    return FieldError((path + rule.text.field_path).lstrip("."), kind, _bad_value(value), detail)


def _evaluated_message(rule: Rule, variables: Mapping[str, object]) -> str:
    """The messageExpression's text, or nothing where the real server falls back to the message."""
    if rule.message is None:
        return ""
    try:
        text = rule.message.evaluate(variables)
    except RuleError:
        return ""
    usable = isinstance(text, str) and "\n" not in text.strip() and len(text.encode()) <= _LONGEST_MESSAGE
    return str(text).strip() if usable else ""


def _bad_value(value: object) -> object:
    """Scalars are printed, objects and lists are not (recorded from kube-apiserver 1.36)."""
    return OMITTED if isinstance(value, dict | list) else value
