"""A column of a table, and the cells of custom resources' columns."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sandbox.apiserver.objects import JsonObject, name_of
from sandbox.apiserver.registry import PrinterColumn
from sandbox.apiserver.tables.durations import age
from sandbox.apiserver.tables.jsonpath import compile_path

Cell = Callable[[JsonObject, datetime], Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its heading, its type, how important it is (0: always shown), and its cell for an object."""

    name: str
    cell: Cell
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""

    def definition(self) -> JsonObject:
        """The column as the Table describes it."""
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


NAME = Column("Name", lambda item, _: name_of(item), format="name")
AGE = Column("Age", lambda item, now: age(item["metadata"].get("creationTimestamp"), now))


def printer_column(column: PrinterColumn) -> Column:
    """The column that a CustomResourceDefinition describes."""
    path = compile_path(column.json_path)
    kind = column.type

    def cell(item: JsonObject, now: datetime) -> Any:
        values = list(path(item))
        if not values:
            return None
        if kind == "date":
            return age(values[0] if isinstance(values[0], str) else None, now)
        return _typed(values, kind)

    shown = "string" if kind == "date" else kind
    return Column(column.name, cell, shown, column.format, column.priority, column.description)


def _typed(values: list[Any], kind: str) -> Any:
    first = values[0]
    if kind == "string":
        texts = [value if isinstance(value, str) else json.dumps(value, separators=(",", ":")) for value in values]
        return ",".join(texts)
    if kind == "integer" and isinstance(first, int | float):
        return int(first)
    if (kind == "number" and isinstance(first, int | float)) or (kind == "boolean" and isinstance(first, bool)):
        return first
    return None
