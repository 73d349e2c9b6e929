"""CEL's words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+|//[^\n]*)
    | (?P<text>[rRbB]{0,2}(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    | (?P<double>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
    | (?P<int>0[xX][0-9a-fA-F]+|\d+)(?P<unsigned>[uU])?
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)
RESERVED: Final = frozenset(
    {"as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package"}
    | {"namespace", "return", "var", "void", "while"}
)


class ExpressionError(Exception):
    """An expression that does not compile."""


def error_at(source: str, offset: int, problem: str) -> ExpressionError:
    """The error, pointing at its place as CEL does."""
    before = source[:offset]
    row, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1)
    line = source.splitlines()[row - 1] if source else ""
    return ExpressionError(f"ERROR: <input>:{row}:{column + 1}: {problem}\n | {line}\n | {'.' * column}^")


@dataclass(frozen=True, slots=True)
class Token:
    """A word: kind is text, double, int, uint, name, sign or end."""

    kind: str
    text: str
    offset: int


def tokenize(source: str) -> Iterator[Token]:
    """The words of an expression, with one of kind `end` at its end."""
    offset = 0
    while offset < len(source):
        match = _TOKEN.match(source, offset)
        if match is None:
            raise error_at(source, offset, f"Syntax error: token recognition error at: '{source[offset]}'")
        if match["unsigned"]:
            yield Token("uint", match["int"], offset)
        elif match.lastgroup != "space":
            assert match.lastgroup
            yield Token(match.lastgroup, match[0], offset)
        offset = match.end()
    yield Token("end", "<EOF>", len(source))
