"""The one entry point of all programs: `safehold`, `python -m safehold`, `kubectl safehold`."""

import sys

from safehold.cli.program import run


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
