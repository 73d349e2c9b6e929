"""`make demo`."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import click

from sandbox.demo.errors import StoryError
from sandbox.demo.report import Report
from sandbox.demo.story import BUCKET, Story
from sandbox.guest.machine import qemu_installed
from sandbox.up import Sandbox, SandboxError


@click.command()
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".sandbox/demo"),
    show_default=True,
    help="Folder of all data; emptied first.",
)
@click.option("--keep", is_flag=True, help="Leave the sandbox running at the end, or where it failed, until Ctrl-C.")
def main(state: Path, keep: bool) -> None:
    """Back up two guests by policy, lose one, restore it in place and elsewhere, and prove both from inside."""
    report = Report()
    if not qemu_installed():
        sys.exit("The demo needs real guests: install qemu-system-x86 (make system, as root).")
    try:
        asyncio.run(_tell(state, report, keep=keep))
    except (StoryError, SandboxError) as error:
        report.line(f"FAILED: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


async def _tell(state: Path, report: Report, *, keep: bool) -> None:
    shutil.rmtree(state, ignore_errors=True)
    report.chapter("Starting a cluster without containers: API server, S3, storage, node, KubeVirt")
    async with Sandbox(state, buckets=[BUCKET]) as sandbox:
        try:
            report.table(await Story(sandbox, report).tell())
            report.line(f"Every check passed, {report.seconds:.0f} s in all.")
        finally:
            if keep:
                report.line(f"export KUBECONFIG={sandbox.kubeconfig}; Ctrl-C ends the sandbox")
                await sandbox.wait()


if __name__ == "__main__":
    main(prog_name="python -m sandbox.demo")
