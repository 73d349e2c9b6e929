"""Names as they are printed."""

import pytest

from safehold.files.guestfish import _quoted
from safehold.files.names import printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"/etc/hosts", "/etc/hosts"),
        ("/Grüße/日本".encode(), "/Grüße/日本"),
        (b"two\nlines", r"two\nlines"),
        (b"\x1b[31mred\x07", r"\x1b[31mred\x07"),
        (b"caf\xe9", r"caf\xe9"),
        ("right\u202eto left".encode(), r"right\u202eto left"),
        (b"back\\slash", r"back\\slash"),
    ],
)
def test_names_are_printed_so_that_they_do_nothing(name: bytes, shown: str) -> None:
    """Line feeds, escape sequences, reversed writing and bytes that are no text are escaped."""
    assert printable(name) == shown


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        (b"/plain file", b'"/plain file"'),
        (b'/"quoted"', rb'"/\x22quoted\x22"'),
        (b"/a\nrun-something", rb'"/a\x0arun-something"'),
        (b"/back\\x41", rb'"/back\x5cx41"'),
        (b"/caf\xe9 | !id", b'"/caf\xe9 | !id"'),
    ],
)
def test_an_argument_stays_one_argument(argument: bytes, line: bytes) -> None:
    """No name ends its quotes, or its line, and becomes a command."""
    assert _quoted(argument) == line
