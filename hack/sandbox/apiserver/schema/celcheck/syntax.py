"""CEL's grammar: from an expression's text to its tree."""

from dataclasses import dataclass
from typing import Final

from sandbox.apiserver.schema.celcheck.tokens import RESERVED, Token, error_at, tokenize

_LEVELS: Final = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))
"""Binary operators, from the loosest to the tightest."""
_MACROS: Final = {"all": (2,), "exists": (2,), "exists_one": (2,), "filter": (2,), "map": (2, 3)}
"""Comprehensions, with the numbers of arguments that they take."""
_CONSTANTS: Final = {"true": "bool", "false": "bool", "null": "null"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A constant; `size` is the length of a string or of bytes."""

    kind: str
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Select:
    """`operand.field`, or has(operand.field)."""

    operand: "Expr"
    field: str
    is_test: bool
    offset: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function, method or operator; the receiver of a method is the first argument."""

    function: str
    args: tuple["Expr", ...]
    is_method: bool
    offset: int


@dataclass(frozen=True, slots=True)
class ListOf:
    """`[a, b]`."""

    items: tuple["Expr", ...]
    offset: int


@dataclass(frozen=True, slots=True)
class MapOf:
    """`{a: b}`."""

    entries: tuple[tuple["Expr", "Expr"], ...]
    offset: int


@dataclass(frozen=True, slots=True)
class Comprehension:
    """`range.macro(variable, bodies…)`."""

    macro: str
    range: "Expr"
    variable: str
    bodies: tuple["Expr", ...]
    offset: int


Expr = Literal | Name | Select | Call | ListOf | MapOf | Comprehension


def parse(source: str) -> Expr:
    """The tree of an expression; ExpressionError if it is none."""
    parser = _Parser(source)
    tree = parser.conditional()
    parser.expect("end", "<EOF>")
    return tree


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = list(tokenize(source))
        self._at = 0

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _takes(self, *texts: str) -> Token | None:
        token = self._token
        if token.kind in ("sign", "name") and token.text in texts:
            self._at += 1
            return token
        return None

    def expect(self, kind: str, text: str = "") -> Token:
        token = self._token
        if token.kind != kind or (text and token.text != text):
            problem = f"Syntax error: mismatched input '{token.text}' expecting {text or kind.upper()}"
            raise error_at(self._source, token.offset, problem)
        self._at += 1
        return token

    def conditional(self) -> Expr:
        condition = self._binary(0)
        if token := self._takes("?"):
            chosen = self._binary(0)
            self.expect("sign", ":")
            return Call("_?_:_", (condition, chosen, self.conditional()), is_method=False, offset=token.offset)
        return condition

    def _binary(self, level: int) -> Expr:
        if level == len(_LEVELS):
            return self._unary()
        left = self._binary(level + 1)
        while token := self._takes(*_LEVELS[level]):
            right = self._binary(level + 1)
            left = Call(token.text, (left, right), is_method=False, offset=token.offset)
        return left

    def _unary(self) -> Expr:
        if token := self._takes("!", "-"):
            return Call(f"{token.text}_", (self._unary(),), is_method=False, offset=token.offset)
        return self._member(self._primary())

    def _member(self, operand: Expr) -> Expr:
        while token := self._takes(".", "["):
            if token.text == "[":
                index = self.conditional()
                self.expect("sign", "]")
                operand = Call("_[_]", (operand, index), is_method=False, offset=token.offset)
                continue
            name = self.expect("name")
            if self._takes("("):
                operand = self._method(operand, name, self._arguments(")"))
            else:
                operand = Select(operand, name.text, is_test=False, offset=token.offset)
        return operand

    def _method(self, operand: Expr, name: Token, args: tuple[Expr, ...]) -> Expr:
        if len(args) in _MACROS.get(name.text, ()) and isinstance(args[0], Name):
            return Comprehension(name.text, operand, args[0].text, args[1:], name.offset)
        dotted = isinstance(operand, Name) and operand.text in NAMESPACES
        if dotted:
            assert isinstance(operand, Name)
            return Call(f"{operand.text}.{name.text}", args, is_method=False, offset=name.offset)
        return Call(name.text, (operand, *args), is_method=True, offset=name.offset)

    def _arguments(self, end: str) -> tuple[Expr, ...]:
        args: list[Expr] = []
        while not self._takes(end):
            args.append(self.conditional())
            if not self._takes(","):
                self.expect("sign", end)
                break
        return tuple(args)

    def _primary(self) -> Expr:
        token = self._token
        self._at += 1
        if token.kind in ("int", "uint", "double"):
            return Literal(token.kind, 1, token.offset)
        if token.kind == "text":
            return _text_literal(token)
        if token.kind == "name":
            return self._named(token)
        match token.text:
            case "(":
                inner = self.conditional()
                self.expect("sign", ")")
                return inner
            case "[":
                return ListOf(self._arguments("]"), token.offset)
            case "{":
                return self._map(token)
        raise error_at(self._source, token.offset, f"Syntax error: mismatched input '{token.text}'")

    def _named(self, token: Token) -> Expr:
        if token.text in _CONSTANTS:
            return Literal(_CONSTANTS[token.text], 1, token.offset)
        if token.text in RESERVED:
            raise error_at(self._source, token.offset, f"reserved identifier: {token.text}")
        if not self._takes("("):
            return Name(token.text, token.offset)
        args = self._arguments(")")
        if token.text != "has":
            return Call(token.text, args, is_method=False, offset=token.offset)
        if len(args) != 1 or not isinstance(args[0], Select):
            raise error_at(self._source, token.offset, "invalid argument to has() macro")
        return Select(args[0].operand, args[0].field, is_test=True, offset=token.offset)

    def _map(self, token: Token) -> Expr:
        entries: list[tuple[Expr, Expr]] = []
        while not self._takes("}"):
            key = self.conditional()
            self.expect("sign", ":")
            entries.append((key, self.conditional()))
            if not self._takes(","):
                self.expect("sign", "}")
                break
        return MapOf(tuple(entries), token.offset)


NAMESPACES: Final = frozenset({"math", "sets", "lists", "base64", "strings", "optional", "ip", "cidr"})
"""Names before the dot of functions such as math.greatest()."""


def _text_literal(token: Token) -> Literal:
    prefix = token.text[: token.text.index(token.text[-1])].lower()
    quotes = 3 if token.text[len(prefix) :].startswith(token.text[-1] * 3) and len(token.text) >= len(prefix) + 6 else 1
    body = token.text[len(prefix) + quotes : -quotes]
    # An escape such as \n is one character; longer escapes count a little too much, which errs on the safe side.
    size = len(body) if "r" in prefix else len(body.replace("\\\\", "_").replace("\\", ""))
    return Literal("bytes" if "b" in prefix else "string", size, token.offset)
