"""`safehold key`: keys of repositories."""

from pathlib import Path

import click

from safehold.engine.keys.keyfile import RepositoryKey, write_key_file


@click.group("key")
def command() -> None:
    """Keys of repositories."""


@command.command("new")
@click.option(
    "--output-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write it there, readable by you only; an existing file is never overwritten.",
)
def new(output_file: Path | None) -> None:
    """Make a repository key. Whoever loses it loses the backups: keep a copy outside the cluster."""
    key = RepositoryKey.generate()
    if output_file is None:
        click.echo(key.text(), nl=False)
        return
    write_key_file(output_file, key)
    click.echo(f"Wrote {output_file} (recipient {key.recipient}). Keep a copy outside the cluster.", err=True)
