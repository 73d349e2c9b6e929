"""`python -m sandbox objectstore`: an S3 service on this machine."""

import signal
from pathlib import Path

import click

from sandbox.objectstore.server import running_object_store


@click.command("objectstore")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the data.")
@click.option("--port", type=click.IntRange(1, 65535), default=None, help="A free one if absent.")
@click.option("--bucket", "buckets", multiple=True, help="Create this bucket; may be given several times.")
def command(state: Path, port: int | None, buckets: tuple[str, ...]) -> None:
    """SeaweedFS until SIGTERM or SIGINT; prints the endpoint when it serves, and writes the admin's credentials file."""
    with running_object_store(state, port) as store:
        for bucket in buckets:
            store.create_bucket(bucket)
        credentials = state / "credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(store.admin.profile())
        click.echo(f"{store.endpoint_url} with the credentials file {credentials}")
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
