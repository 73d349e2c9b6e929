"""`python -m sandbox objectstore`: an S3 service on this machine."""

import signal
import sys
from pathlib import Path

import click

from sandbox.objectstore.radosgw import running_radosgw
from sandbox.objectstore.server import running_object_store


@click.command("objectstore")
@click.option("--state", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder of the data.")
@click.option("--port", type=click.IntRange(1, 65535), help="A free one if absent.")
@click.option("--bucket", "buckets", multiple=True, help="Create this bucket; may be given several times.")
@click.option("--radosgw", is_flag=True, help="Ceph's gateway in place of SeaweedFS; its data is in memory.")
def command(state: Path, port: int | None, buckets: tuple[str, ...], *, radosgw: bool) -> None:
    """SeaweedFS until SIGTERM or SIGINT; prints its endpoint and where the credentials of its admin are."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leaves the `with` below in order, at any moment
    start = running_radosgw if radosgw else running_object_store
    with start(state, port) as store:
        for bucket in buckets:
            store.create_bucket(bucket)
        credentials = state / "credentials"
        credentials.touch(mode=0o600)
        credentials.write_text(store.admin.profile())
        click.echo(f"{store.endpoint_url} with the credentials file {credentials}")
        while True:
            signal.pause()
