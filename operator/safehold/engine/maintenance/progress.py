"""How maintenance tells how far it is."""

from collections.abc import Callable

Advance = Callable[[str, int, int | None], None]
"""Called with what is being done, how many are done, and of how many, if that is known. Often, so it is quick."""


def silent(_what: str, _done: int, _total: int | None) -> None:
    """Tells nobody."""
