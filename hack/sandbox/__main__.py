"""`python -m sandbox PART`: each part of the sandbox is a command of its own."""

from importlib import import_module
from importlib.util import find_spec

import click

_PARTS = {
    "apiserver": "the embedded Kubernetes API server",
    "csi": "volumes and snapshots: CSI driver and its controllers",
    "guest": "build the guest that virtual machines run",
    "kubelet": "a node: scheduler, Job controller, kubelet",
    "kubevirt": "virtual machines",
    "objectstore": "an S3 server",
    "up": "all parts together",
}


class _Parts(click.Group):
    """Imports a part when it is called, so that one part's dependencies are not everyone's."""

    def list_commands(self, _: click.Context) -> list[str]:
        return sorted(_PARTS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in _PARTS:
            return None
        for module in (f"sandbox.{name}.cli", f"sandbox.{name}"):
            command = _load(module)
            if command is not None:
                return command
        raise click.ClickException(f"the sandbox's part {name!r} ({_PARTS[name]}) is not part of this installation")

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Parts"):
            formatter.write_dl(sorted(_PARTS.items()))


def _load(module: str) -> click.Command | None:
    try:
        found = find_spec(module)
    except ModuleNotFoundError:
        return None
    command = getattr(import_module(module), "command", None) if found else None
    return command if isinstance(command, click.Command) else None


@click.command(cls=_Parts)
def main() -> None:
    """A Kubernetes cluster with KubeVirt, CSI and S3 on this machine, part by part."""


if __name__ == "__main__":
    main(prog_name="python -m sandbox")
