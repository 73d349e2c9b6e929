"""The loop of controllers that plan one step at a time: look, decide, do, and look again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

Observed = TypeVar("Observed")
Step = TypeVar("Step")


@dataclass(frozen=True, slots=True)
class Wait:
    """A step: nothing to do until something changes, or until `seconds` have passed."""

    seconds: float | None = None


async def take_steps(
    observe: Callable[[], Awaitable[Observed | None]],
    next_step: Callable[[Observed, datetime], Step],
    take: Callable[[Step, Observed], Awaitable[None]],
) -> float | None:
    """Takes steps until the step is to wait, or nothing is left to observe. Returns what a Controller wants told."""
    while (observed := await observe()) is not None:
        step = next_step(observed, datetime.now(UTC))
        if isinstance(step, Wait):
            return step.seconds
        await take(step, observed)
    return None
