"""The root of the command line, and what every command has in common: exit codes and one clear sentence per failure."""

import gc
import importlib
import traceback
from types import ModuleType

import click

from safehold import __version__
from safehold.errors import SafeholdError, UsageError

_COMMANDS = {
    "controller": "safehold.controller.cli",
    "doctor": "safehold.cli.doctor",
    "files": "safehold.cli.files.group",
    "hold": "safehold.cli.holds.hold",
    "key": "safehold.cli.key",
    "release": "safehold.cli.holds.release",
    "repo": "safehold.cli.repo.group",
    "restore": "safehold.cli.restore.group",
    "simulate": "safehold.cli.simulate",
    "volume": "safehold.cli.volume",
    "worker": "safehold.cli.worker",
}
"""Commands by name, with the module that has each as `command`. Loaded when called: a worker never imports Kopf."""

FAILURE, WRONG_USAGE, INTERRUPTED = 1, 2, 130


class _Program(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        found = _load(_COMMANDS[cmd_name]).command
        assert isinstance(found, click.Command)
        return found


def _load(module: str) -> ModuleType:
    """Import without looking for garbage, then or later, among what stays as long as the process."""
    gc.disable()
    try:
        return importlib.import_module(module)
    finally:
        gc.freeze()
        gc.enable()


@click.group(cls=_Program)
@click.version_option(__version__, prog_name="safehold")
@click.option("--debug", is_flag=True, help="Show where a failure came from.")
def program(debug: bool) -> None:
    """Backups for KubeVirt virtual machines."""
    del debug  # read from the arguments by `run`, which also sees failures before this point


def run(arguments: list[str]) -> int:
    """Carry out the command; returns 0, 1 for a failure, 2 for wrong usage, or what a worker says."""
    try:
        returned = program.main(arguments, prog_name="safehold", standalone_mode=False)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    except SafeholdError as problem:
        _explain(f"{problem}.", debug="--debug" in arguments)
        return WRONG_USAGE if isinstance(problem, UsageError) else FAILURE
    except Exception as problem:  # noqa: BLE001 - the process's edge: no traceback unless it is asked for
        _explain(f"Unexpected {type(problem).__name__}: run again with --debug.", debug="--debug" in arguments)
        return FAILURE
    return returned if isinstance(returned, int) else 0


def _explain(sentence: str, *, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    click.echo(f"Error: {sentence}", err=True)
