"""How the commands of `safehold repo` show what they found: tables for people, one JSON document for scripts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import click
from pydantic.alias_generators import to_camel
from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.measure import Measurement
from rich.table import Table

_LONG_LINE = 160
"""Columns up to which a terminal may break a line itself."""
_ENDLESS = 10_000


def document_of(value: object) -> dict[str, Any]:
    """A dataclass as JSON has it: names in camel case, like those of all other commands."""
    assert is_dataclass(value)
    return {to_camel(field.name): _plain(getattr(value, field.name)) for field in fields(value)}


def _plain(value: object) -> object:
    if is_dataclass(value):
        return document_of(value)
    return [_plain(each) for each in value] if isinstance(value, list) else value


def show_json(document: object) -> None:
    """One document on stdout."""
    click.echo(json.dumps(document))


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table under a line that says of what; columns whose title ends with a space are of numbers.

    A line stays a line where it is piped, or not much too long: names that are cut in two can be neither found nor
    copied. Sentences are wrapped on a terminal.
    """
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.strip(), justify="right" if column.endswith(" ") else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    wanted = Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum
    if not console.is_terminal or wanted <= _LONG_LINE:
        console = Console(width=max(console.width, wanted), height=console.height)
    console.print(title, style="table.title", soft_wrap=True, markup=False, highlight=False)
    console.print(table)


def show_facts(title: str, facts: Mapping[str, object]) -> None:
    """Names and values, one a line."""
    click.echo(title)
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        click.echo(f"  {name:<{width}}  {value}")


def size(count: int) -> str:
    """Bytes for people."""
    return decimal(count)
