"""Regular expressions in RE2's dialect, as `pattern` has it.

Python's `re` reads some of them otherwise (`$` also matches before a final newline, look-ahead is accepted), so
they run in the regex engine of the CEL library, which is of RE2's family.
"""

from functools import lru_cache

import cel

_MATCHES = cel.compile("text.matches(pattern)")


@lru_cache(maxsize=4096)
def matches(text: str, pattern: str) -> bool:
    """True if the pattern is found anywhere in the text."""
    return bool(_MATCHES.execute({"text": text, "pattern": pattern}))


def pattern_fault(pattern: str) -> str | None:
    """Why a pattern is no regular expression, or None."""
    try:
        matches("", pattern)
    except RuntimeError as error:
        return str(error)
    return None
