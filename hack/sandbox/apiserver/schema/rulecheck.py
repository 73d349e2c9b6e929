"""The check of CEL rules when a CRD is written: they compile, fit the types, run where they can, and are affordable."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from sandbox.apiserver.schema.celcheck.checker import Checked, check, names_in
from sandbox.apiserver.schema.celcheck.syntax import parse
from sandbox.apiserver.schema.celcheck.tokens import ExpressionError
from sandbox.apiserver.schema.celcheck.types import BOOL, STRING, CelType, declare, max_cardinality
from sandbox.apiserver.schema.fields import ErrorKind, FieldError, child, entry
from sandbox.apiserver.schema.rules import Expression
from sandbox.apiserver.schema.structure import FIELD_PATH_STEP, Node, RuleText

RULE_BUDGET: Final = 10_000_000
"""The highest estimated cost of one rule, in all the places where it may run."""
SCHEMA_BUDGET: Final = 100_000_000
"""The highest estimated cost of all rules of one schema."""
_REASONS: Final = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_LONGEST_MESSAGE: Final = 2048
_ADVICE: Final = (
    "(try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings "
    "are declared)"
)
_MOST_EXPENSIVE: Final = 4
"""How many rules are named when only their sum is too high."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the schema the walk is, and how often a value can be there."""

    path: str
    cardinality: int | None = 1
    """None: as often as fits into a request, because a list or map above has no maximum."""
    uncorrelatable: str = ""
    """The part above whose items have no old counterpart."""
    is_root: bool = False

    def below(self, *steps: str, limit: float | None = 1, uncorrelatable: str = "", is_root: bool = False) -> "_Place":
        path = child(self.path, steps[0])
        if len(steps) > 1:
            path = entry(path, steps[1])
        product = None if self.cardinality is None or limit is None else self.cardinality * int(limit)
        return _Place(path, product, self.uncorrelatable or uncorrelatable, is_root)


@dataclass(slots=True)
class _Total:
    """The costs of all rules seen so far."""

    costs: list[tuple[int, str]] = field(default_factory=list)

    def errors(self, path: str) -> Iterator[FieldError]:
        """The refusal of the whole schema if the sum is too high, with the rules that cost most."""
        total = sum(cost for cost, _ in self.costs)
        if total <= SCHEMA_BUDGET:
            return
        for _, at in sorted(self.costs, reverse=True)[:_MOST_EXPENSIVE]:
            detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
            yield FieldError(at, ErrorKind.FORBIDDEN, detail=detail)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield FieldError(path, ErrorKind.FORBIDDEN, detail=over_budget(what, total, SCHEMA_BUDGET))


def check_rules(root: Node, path: str) -> list[FieldError]:
    """The faults of all rules of a schema."""
    total = _Total()
    errors = list(_walk(root, _Place(path, is_root=True), total))
    return [*errors, *total.errors(path)]


def _walk(node: Node, place: _Place, total: _Total) -> Iterator[FieldError]:
    if not node.rules_below:
        return
    if node.rules:
        yield from _check_node(node, place, total)
    for name, part in node.properties.items():
        atomic = place.path if node.map_type == "atomic" else ""
        yield from _walk(part, place.below("properties", name, uncorrelatable=atomic, is_root=part.embedded), total)
    if node.items:
        lost = "" if node.list_type == "map" else child(place.path, "items")
        limit = node.item_count.maximum
        inner = place.below("items", limit=limit, uncorrelatable=lost, is_root=node.items.embedded)
        yield from _walk(node.items, inner, total)
    if (additional := node.additional_node()) is not None:
        limit = node.property_count.maximum
        yield from _walk(additional, place.below("additionalProperties", limit=limit), total)


def _check_node(node: Node, place: _Place, total: _Total) -> Iterator[FieldError]:
    declared = declare(node, is_root=place.is_root)
    for index, rule in enumerate(node.rules):
        at = entry(child(place.path, "x-kubernetes-validations"), index)
        found = list(_check_text(rule, node, at))
        yield from found
        if found:
            continue
        if declared is None:
            detail = f"rule declared on schema that does not support validation rules type: '{node.type}'"
            yield FieldError(child(at, "rule"), ErrorKind.INVALID, rule.rule, detail)
            continue
        yield from _check_expressions(rule, declared, place, at, total)


def _check_text(rule: RuleText, node: Node, at: str) -> Iterator[FieldError]:
    """What is wrong with a rule whatever its expression says."""
    message = rule.message.strip()
    if not rule.rule.strip():
        yield FieldError(child(at, "rule"), ErrorKind.REQUIRED, detail="rule is not specified")
    elif rule.message and not message:
        detail = "message must be non-empty if specified"
        yield FieldError(child(at, "message"), ErrorKind.INVALID, rule.message, detail)
    elif len(rule.message) > _LONGEST_MESSAGE:
        detail = f"message must have a maximum length of {_LONGEST_MESSAGE} characters"
        yield FieldError(child(at, "message"), ErrorKind.INVALID, f"{rule.message[:10]}...", detail)
    elif "\n" in message:
        detail = "message must not contain line breaks"
        yield FieldError(child(at, "message"), ErrorKind.INVALID, rule.message, detail)
    elif "\n" in rule.rule.strip() and not message:
        detail = "message must be specified if rule contains line breaks"
        yield FieldError(child(at, "message"), ErrorKind.REQUIRED, detail=detail)
    if rule.reason and rule.reason not in _REASONS:
        supported = ", ".join(f'"{reason}"' for reason in _REASONS)
        yield FieldError(child(at, "reason"), ErrorKind.NOT_SUPPORTED, rule.reason, f"supported values: {supported}")
    if rule.field_path and (fault := _field_path_fault(rule.field_path, node)):
        detail = f"fieldPath must be a valid path: {fault}"
        yield FieldError(child(at, "fieldPath"), ErrorKind.INVALID, rule.field_path, detail)


def _field_path_fault(path: str, node: Node) -> str:
    offset = 0
    while offset < len(path):
        step = FIELD_PATH_STEP.match(path, offset)
        if step is None:
            return f"expected [ or . but got: {path[offset:]}"
        part = node.part(step[1] or step[2])
        if part is None:
            return "does not refer to a valid field"
        node, offset = part, step.end()
    return ""


def _check_expressions(
    rule: RuleText, declared: CelType, place: _Place, at: str, total: _Total
) -> Iterator[FieldError]:
    old = CelType("optional", element=declared) if rule.optional_old_self else declared
    variables = {"self": declared, "oldSelf": old}
    try:
        checked = _compiled(rule.rule, variables, BOOL, "cel expression must evaluate to a bool")
    except ExpressionError as error:
        yield FieldError(child(at, "rule"), ErrorKind.INVALID, _document(rule), str(error))
        return
    yield from _check_old_self(rule, place, at)
    cardinality = max_cardinality(declared) if place.cardinality is None else place.cardinality
    cost = checked.cost * cardinality
    total.costs.append((cost, child(at, "rule")))
    if cost > RULE_BUDGET:
        detail = over_budget("estimated rule cost", cost, RULE_BUDGET)
        yield FieldError(child(at, "rule"), ErrorKind.FORBIDDEN, detail=detail)
    if rule.message_expression:
        yield from _check_message(rule, variables, child(at, "messageExpression"), total)


def _check_message(rule: RuleText, variables: dict[str, CelType], at: str, total: _Total) -> Iterator[FieldError]:
    try:
        checked = _compiled(rule.message_expression, variables, STRING, "messageExpression must evaluate to a string")
    except ExpressionError as error:
        yield FieldError(at, ErrorKind.INVALID, _document(rule), str(error))
        return
    total.costs.append((checked.cost, at))
    if checked.cost > RULE_BUDGET:
        detail = over_budget("estimated messageExpression cost", checked.cost, RULE_BUDGET)
        yield FieldError(at, ErrorKind.FORBIDDEN, detail=detail)


def _compiled(source: str, variables: dict[str, CelType], wanted: CelType, complaint: str) -> Checked:
    """Check an expression and see that it can be evaluated here too; ExpressionError says what is wrong."""
    try:
        checked = check(source, variables)
    except ExpressionError as error:
        raise ExpressionError(f"compilation failed: {error}") from error
    if checked.type.kind != wanted.kind:
        raise ExpressionError(complaint)
    try:
        Expression(source)
    except ValueError as error:
        raise ExpressionError(f"compilation failed: {error}") from error
    return checked


def _check_old_self(rule: RuleText, place: _Place, at: str) -> Iterator[FieldError]:
    uses_old = "oldSelf" in names_in(parse(rule.rule))
    if uses_old and place.uncorrelatable and not rule.optional_old_self:
        detail = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {place.uncorrelatable}"
        yield FieldError(child(at, "rule"), ErrorKind.INVALID, rule.rule, detail)
    if rule.optional_old_self and not uses_old:
        detail = "optionalOldSelf may not be set to true if oldSelf is not used in rule"
        yield FieldError(child(at, "optionalOldSelf"), ErrorKind.INVALID, bad_value=True, detail=detail)


def over_budget(what: str, cost: int, budget: int) -> str:
    """kube-apiserver's sentence about a cost that is too high."""
    factor = cost / budget
    digits = 6 if factor < 1.5 else 1  # so that no factor reads 1.0x
    shown = "more than 100x" if factor > 100 else f"{factor:.{digits}f}x"
    return f"{what} exceeds budget by factor of {shown} {_ADVICE}"


def _document(rule: RuleText) -> dict[str, object]:
    return {
        "Rule": rule.rule,
        "Message": rule.message,
        "MessageExpression": rule.message_expression,
        "Reason": rule.reason or None,
        "FieldPath": rule.field_path,
        "OptionalOldSelf": True if rule.optional_old_self else None,
    }
