"""Checks an expression's types against a schema and adds up its worst-case cost."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from sandbox.apiserver.schema.celcheck.costs import LIST_COST, MAP_COST, UNKNOWN, added, call_cost
from sandbox.apiserver.schema.celcheck.signatures import SIGNATURES, TYPE_NAMES, result_type
from sandbox.apiserver.schema.celcheck.syntax import (
    Call,
    Comprehension,
    Expr,
    ListOf,
    Literal,
    MapOf,
    Name,
    Select,
    parse,
)
from sandbox.apiserver.schema.celcheck.tokens import ExpressionError, error_at
from sandbox.apiserver.schema.celcheck.types import BOOL, DYN, CelType, list_of


@dataclass(frozen=True, slots=True)
class Checked:
    """An expression's type, its worst-case cost, and the most elements that its value can have."""

    type: CelType
    cost: int
    size: int


@dataclass(frozen=True, slots=True)
class _Loop:
    """What the machinery of a comprehension costs: once, and for each element beside the body."""

    once: int
    each: int


# cel-go's expansions: all is `accu && p` while accu, exists `accu || p` while !accu, and so on.
_LOOPS: Final = {
    "all": _Loop(once=1, each=3),
    "exists": _Loop(once=1, each=4),
    "exists_one": _Loop(once=2, each=2),
    "map": _Loop(once=LIST_COST + 1, each=LIST_COST + 2),
    "filter": _Loop(once=LIST_COST + 1, each=LIST_COST + 3),
}


def check(source: str, variables: Mapping[str, CelType]) -> Checked:
    """Check an expression; ExpressionError if it does not compile."""
    return _Checker(source).check(parse(source), dict(variables))


def names_in(tree: Expr) -> set[str]:
    """The variables that an expression mentions."""
    match tree:
        case Name(text):
            return {text}
        case Select(operand=operand):
            return names_in(operand)
        case Call(args=parts) | ListOf(items=parts):
            return set().union(*map(names_in, parts))
        case MapOf(entries):
            return set().union(*(names_in(part) for pair in entries for part in pair))
        case Comprehension(range=values, variable=variable, bodies=bodies):
            return names_in(values) | (set().union(*map(names_in, bodies)) - {variable})
    return set()


class _Checker:
    def __init__(self, source: str) -> None:
        self._source = source

    def check(self, tree: Expr, scope: dict[str, CelType]) -> Checked:
        match tree:
            case Literal(kind, size):
                return Checked(CelType(kind), 0, size)
            case Name():
                return self._check_name(tree, scope)
            case Select():
                return self._check_select(tree, scope)
            case Call():
                return self._check_call(tree, scope)
            case Comprehension():
                return self._check_comprehension(tree, scope)
            case ListOf(items):
                parts = [self.check(item, scope) for item in items]
                return Checked(list_of(_common(parts)), LIST_COST + sum(part.cost for part in parts), len(parts))
            case MapOf(entries):
                keys = [self.check(key, scope) for key, _ in entries]
                values = [self.check(value, scope) for _, value in entries]
                cost = MAP_COST + sum(part.cost for part in (*keys, *values))
                return Checked(CelType("map", key=_common(keys), element=_common(values)), cost, len(keys))

    def _check_name(self, name: Name, scope: dict[str, CelType]) -> Checked:
        declared = scope.get(name.text)
        if declared is not None:
            return _of_type(declared, 1)
        if name.text in TYPE_NAMES:
            return Checked(CelType("type"), 1, 1)
        raise self._error(name, f"undeclared reference to '{name.text}' (in container '')")

    def _check_select(self, select: Select, scope: dict[str, CelType]) -> Checked:
        operand = self.check(select.operand, scope)
        kind = operand.type.kind
        if kind == "object":
            part = operand.type.fields.get(select.field)
            if part is None:
                raise self._error(select, f"undefined field '{select.field}'")
        elif kind == "map":
            part = operand.type.element or DYN
        elif kind == "dyn":
            part = DYN
        else:
            raise self._error(select, f"type '{operand.type}' does not support field selection")
        if select.is_test:
            return Checked(BOOL, operand.cost, 1)
        return _of_type(part, operand.cost + 1)

    def _check_call(self, call: Call, scope: dict[str, CelType]) -> Checked:
        args = [self.check(arg, scope) for arg in call.args]
        types = tuple(arg.type for arg in args)
        result = _chosen(types) if call.function == "_?_:_" else result_type(call.function, types)
        if result is None:
            raise self._error(call, self._no_overload(call, types))
        sizes = tuple(arg.size for arg in args)
        element = types[0].element if types else None
        if call.function == "+":
            estimate = added(sizes, result.kind)
        else:
            estimate = call_cost(call.function, sizes, element.max_elements if element else 0)
        branches = [arg.cost for arg in args[1:]] if call.function == "_?_:_" else []
        cost = args[0].cost + max(branches) if branches else sum(arg.cost for arg in args)
        checked = _of_type(result, cost + estimate.cost)
        return checked if estimate.size is None else replace(checked, size=estimate.size)

    def _no_overload(self, call: Call, types: tuple[CelType, ...]) -> str:
        if call.function not in SIGNATURES and call.function != "_?_:_":
            return f"undeclared reference to '{call.function}' (in container '')"
        symbol = call.function if call.function[0].isalpha() else f"_{call.function}_".replace("__", "_")
        shown = [str(part) for part in types]
        applied = f"{shown[0]}.({', '.join(shown[1:])})" if call.is_method else f"({', '.join(shown)})"
        return f"found no matching overload for '{symbol}' applied to '{applied}'"

    def _check_comprehension(self, tree: Comprehension, scope: dict[str, CelType]) -> Checked:
        values = self.check(tree.range, scope)
        element = values.type.key if values.type.kind == "map" else values.type.element
        if values.type.kind not in ("list", "map", "dyn"):
            problem = f"expression of type '{values.type}' cannot be range of a comprehension"
            raise self._error(tree, f"{problem} (must be list, map, or dynamic)")
        inner = {**scope, tree.variable: element or DYN}
        bodies = [self.check(body, inner) for body in tree.bodies]
        conditions = bodies if tree.macro != "map" else bodies[:-1]
        for condition in conditions:
            if not BOOL.accepts(condition.type):
                raise self._error(tree, f"expected type 'bool' but found '{condition.type}'")
        loop = _LOOPS[tree.macro]
        once = values.cost + loop.once
        cost = once + values.size * (loop.each + sum(body.cost for body in bodies))
        match tree.macro:
            case "map":
                return Checked(list_of(bodies[-1].type), cost, values.size)
            case "filter":
                return Checked(list_of(element or DYN), cost, values.size)
        return Checked(BOOL, cost, 1)

    def _error(self, tree: Expr, problem: str) -> ExpressionError:
        return error_at(self._source, tree.offset, problem)


def _of_type(declared: CelType, cost: int) -> Checked:
    """A value about whose size nothing is known but its type: what the schema bounds, or nothing at all."""
    unbounded = declared.kind in ("list", "map") and not declared.max_elements
    return Checked(declared, cost, UNKNOWN if unbounded else declared.max_elements)


def _common(parts: list[Checked]) -> CelType:
    """The type of a list's items: theirs if they agree."""
    if parts and all(parts[0].type.accepts(part.type) for part in parts):
        longest = max(part.size for part in parts)
        return replace(parts[0].type, max_elements=longest)
    return DYN


def _chosen(types: tuple[CelType, ...]) -> CelType | None:
    condition, left, right = types
    return left if BOOL.accepts(condition) and left.accepts(right) else None
