"""`make demo`."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import click

from sandbox.demo.errors import StoryError
from sandbox.demo.report import Report
from sandbox.demo.story import BUCKET, MANIFESTS, Story
from sandbox.guest.machine import qemu_installed
from sandbox.program import ProgramError
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
@click.option(
    "--stage", is_flag=True, help="Install Safehold and boot the guests, tell no story, and stay until Ctrl-C."
)
def main(state: Path, keep: bool, stage: bool) -> None:
    """Back up two guests by policy, lose one, restore it in place and elsewhere, and prove both from inside."""
    report = Report()
    if not qemu_installed():
        sys.exit("The demo needs real guests: install qemu-system-x86 (make system, as root).")
    try:
        asyncio.run(_run(state, report, keep=keep or stage, stage=stage))
    except (StoryError, SandboxError, ProgramError) as error:
        report.line(f"FAILED: {error}")
        sys.exit(1)
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)


async def _run(state: Path, report: Report, *, keep: bool, stage: bool) -> None:
    task = asyncio.current_task()
    assert task is not None
    # As Ctrl-C does: the parts are stopped in order.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    report.chapter("Starting a cluster without containers: API server, S3, storage, node, KubeVirt")
    async with Sandbox(state, buckets=[BUCKET], fresh=True) as sandbox:
        story = Story(sandbox, report)
        try:
            if stage:
                await story.set_the_stage()
            else:
                report.table(await story.tell())
                report.line(f"Every check passed, {report.seconds:.0f} s in all.")
        except StoryError as error:
            if not keep:
                raise
            report.line(f"FAILED: {error}")
        if keep:
            _invite(sandbox, report)
            await sandbox.wait()


def _invite(sandbox: Sandbox, report: Report) -> None:
    report.chapter("The cluster runs until Ctrl-C. In another terminal:")
    report.command(f"export PATH={Path(sys.executable).parent}:$PATH KUBECONFIG={sandbox.kubeconfig}")
    report.command(
        f"export AWS_ENDPOINT_URL={sandbox.s3_endpoint} AWS_SHARED_CREDENTIALS_FILE={sandbox.s3_credentials}"
    )
    report.command("kubectl get safehold,vm -A")
    report.command(f"kubectl apply -f {MANIFESTS / '40-policy.yaml'}     # back up both guests every minute")
    report.command("kubectl get vmb -n shop --watch")
    report.command(
        f"python -m sandbox guest --state {sandbox.state / 'kubevirt'} exec shop/orders -- ls /data/data/files"
    )


if __name__ == "__main__":
    main(prog_name="python -m sandbox.demo")
