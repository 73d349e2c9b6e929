"""The part of JSONPath that printer columns use: fields, indices, wildcards, filters such as [?(@.type=="Ready")]."""

import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

Step = Callable[[Any], Iterable[Any]]

_STEP = re.compile(
    r"""
      \.\.(?P<deep>[\w-]+)
    | \.(?P<field>(?:[^.\[\]\\]|\\.)+)
    | \[\s*\?\(\s*@(?P<operand>(?:\.|\[)[^=!<>]*?)\s*
        (?:(?P<operator>==|!=)\s*(?P<literal>"[^"]*"|'[^']*'|[^)\s]+))?\s*\)\s*\]
    | \[\s*(?P<index>-?\d+|\*)\s*\]
    | \[\s*['"](?P<name>[^'"]+)['"]\s*\]
    """,
    re.VERBOSE,
)


@cache
def compile_path(path: str) -> Step:
    """A function from a document to the values at a path; ValueError if the path is none."""
    steps = []
    position = 0
    text = path.strip().removeprefix("{").removesuffix("}").removeprefix("$")
    text = text if text.startswith((".", "[")) else f".{text}"
    while position < len(text):
        match = _STEP.match(text, position)
        if not match:
            raise ValueError(f"no JSONPath that printer columns may use: {path}")
        steps.append(_step(match))
        position = match.end()

    def evaluate(document: Any) -> Iterable[Any]:
        values = [document]
        for step in steps:
            values = [found for value in values for found in step(value)]
        return values

    return evaluate


def _step(match: re.Match[str]) -> Step:
    if match["deep"]:
        name = match["deep"]
        return lambda value: _descend(value, name)
    if match["field"] or match["name"]:
        field = match["name"] or re.sub(r"\\(.)", r"\1", match["field"])
        if field == "*":
            return _children
        return lambda value: [value[field]] if isinstance(value, dict) and field in value else []
    if match["index"]:
        return _children if match["index"] == "*" else _item(int(match["index"]))
    return _filter(match["operand"], match["operator"], match["literal"])


def _children(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else []


def _item(index: int) -> Step:
    return lambda value: value[index : index + 1 or None] if isinstance(value, list) else []


def _descend(value: Any, name: str) -> Iterable[Any]:
    if isinstance(value, dict) and name in value:
        yield value[name]
    for child in _children(value):
        yield from _descend(child, name)


def _filter(operand: str, operator: str | None, literal: str | None) -> Step:
    inner = compile_path(operand)
    if operator is None or literal is None:
        return lambda value: [item for item in _children(value) if list(inner(item))]
    wanted = literal[1:-1] if literal[0] in "\"'" else _scalar(literal)
    equal = operator == "=="
    return lambda value: [item for item in _children(value) if any((found == wanted) == equal for found in inner(item))]


def _scalar(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
