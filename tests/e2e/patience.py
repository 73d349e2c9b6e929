"""How long the flows wait: a state ends a wait as soon as it comes, and a machine that is busy is no failure."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable

PATIENCE_SECONDS = 300.0
"""After which a state that has not come will not come. Tests that prove a time name it themselves."""
_POLL_SECONDS = 0.2


async def until_none(look: Callable[[], Awaitable[Iterable[object]]], what: str) -> None:
    """Look again and again until nothing is found: for what no one watch covers."""
    end = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while found := [*await look()]:
        assert asyncio.get_running_loop().time() < end, f"{what}: {', '.join(map(str, found))}"
        await asyncio.sleep(_POLL_SECONDS)
