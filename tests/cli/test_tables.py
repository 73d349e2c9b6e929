"""Tables for people: what a terminal and a pipe get."""

import os
import pty
import subprocess
import sys

import pytest

POINT = "970805182b1caae0-000006-9ef923c4fabfcc99"
SENTENCE = "the Job that made it has ended long ago, and nobody has asked for it since " * 3
SHOW = """
import sys
from safehold.cli.repo.output import show_table
show_table(sys.argv[1], ['VM', 'What', 'Point'], [sys.argv[2:]])
"""


def shown(on_terminal: bool, *cells: str, title: str = "found") -> list[str]:
    """The lines of a table, on a terminal of 80 columns or piped."""
    command = [sys.executable, "-c", SHOW, title, *cells]
    environment = {"PATH": os.environ["PATH"], "TERM": "dumb"}
    if not on_terminal:
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    reader, writer = pty.openpty()
    with os.fdopen(reader, "rb") as output:
        subprocess.run(command, env=environment, stdout=writer, check=True)
        os.close(writer)
        return os.read(output.fileno(), 1 << 16).decode().splitlines()


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_name_is_never_cut(on_terminal: bool) -> None:
    """An id that is broken into two lines can be neither found nor copied."""
    assert any("db" in line and POINT in line for line in shown(on_terminal, "db", "x" * 50, POINT))


@pytest.mark.parametrize("on_terminal", [False, True])
def test_a_title_is_never_cut(on_terminal: bool) -> None:
    """Also where the table below it is narrower than the id in its title."""
    title = f"Volumes of [{POINT}]"
    assert any(title in line for line in shown(on_terminal, "db", "x", "y", title=title))


def test_a_sentence_is_wrapped_on_a_terminal_and_a_line_where_it_is_piped() -> None:
    """People read columns, programs read lines."""
    assert any(SENTENCE.strip() in line for line in shown(False, "db", SENTENCE, "id"))
    assert max(map(len, shown(True, "db", SENTENCE, "id"))) <= 80
