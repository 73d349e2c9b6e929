"""The one entry point of all programs: `safehold`, `python -m safehold`, `kubectl safehold`."""

import os
import signal
import sys

from safehold.cli.program import run

_ENDED_BY_SIGTERM = 128 + signal.SIGTERM


def main() -> None:
    """Run the command line and end the process with its exit code.

    The first process of a container ignores SIGTERM until it says otherwise; so it is said here, before a command
    that ends in an order of its own (controller, worker) takes the signal over.
    """
    # Nobody's plugin has a say in what a manifest means; looking for some takes 16 ms of every command.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_ENDED_BY_SIGTERM))
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
