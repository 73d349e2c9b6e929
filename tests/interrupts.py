"""Ctrl-C in tests that send it to a program."""

import signal


def heed_interrupts() -> None:
    """For a new process: a shell's background jobs, of which the tests may be one, start with SIGINT ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
