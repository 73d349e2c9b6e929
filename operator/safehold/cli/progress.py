"""Progress for who looks at a terminal; nothing where nobody does."""

import sys
from contextlib import AbstractContextManager, nullcontext

from safehold.engine.backup.run import ReportProgress
from safehold.engine.maintenance.progress import Advance


def progress_bar(title: str) -> AbstractContextManager[ReportProgress]:
    """A function to call with bytes done and bytes in all."""
    if not sys.stderr.isatty():
        return nullcontext(lambda _done, _total: None)
    from safehold.cli.bars import bar_of_bytes  # noqa: PLC0415 - see there

    return bar_of_bytes(title)


def step_progress() -> AbstractContextManager[Advance]:
    """A function to call with what is being done, how many are done, and how many there are, if that is known."""
    if not sys.stderr.isatty():
        return nullcontext(lambda _what, _done, _total: None)
    from safehold.cli.bars import bars_of_steps  # noqa: PLC0415 - see there

    return bars_of_steps()
