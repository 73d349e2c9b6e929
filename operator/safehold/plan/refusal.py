"""A refusal: why something cannot be done as it is asked for, as a value that planners pass on."""

from dataclasses import dataclass

from safehold.reasons import Reason


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason for machines, and one sentence for people that says what was found and what to do."""

    reason: Reason
    message: str
