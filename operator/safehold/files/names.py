"""Names out of a disk, as they are printed: a name may hold a line feed, or make a terminal do things."""

import os


def printable(name: bytes) -> str:
    r"""The name with everything escaped that is not plainly visible: `\n`, `\x1b`, bytes that are no UTF-8."""
    shown = []
    for character in name.decode("utf-8", errors="surrogateescape"):
        if character == "\\":
            shown.append("\\\\")
        elif character.isprintable():
            shown.append(character)
        elif "\udc80" <= character <= "\udcff":
            shown.append(f"\\x{ord(character) - 0xDC00:02x}")
        else:
            shown.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def text(name: bytes) -> str:
    """The name as JSON has it, whose own escapes make it harmless. Bytes that are no UTF-8 are as in os.fsdecode."""
    return os.fsdecode(name)
