"""One sandbox for all end-to-end tests: Safehold installed from its chart, under its own ServiceAccount."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Generator

import pytest
import pytest_asyncio
from tests.e2e.guests import NAMESPACE, Guests
from tests.e2e.namespace import Tenant
from tests.e2e.world import World, running_world

from sandbox.guest.machine import qemu_installed

_LAST = ("test_secrecy.py", "test_rights.py")
"""They judge what all other tests left behind."""
_LOG_LINES = "40"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here share one event loop with the sandbox, and are marked as what they are."""
    ours = [item for item in items if item.path.parent.name == "e2e"]
    for item in ours:
        item.add_marker(pytest.mark.e2e)
        if isinstance(item, pytest.Function) and pytest_asyncio.is_async_test(item):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)
    last = [item for name in _LAST for item in ours if item.path.name == name]
    items[:] = [item for item in items if item not in last] + last


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """The sandbox with guests that are only disks, and Safehold in it."""
    if os.geteuid() != 0:
        pytest.skip("the controller and its Jobs run in containers, for which the sandbox's kubelet needs root")
    async with running_world(tmp_path_factory.mktemp("world") / "state", no_qemu=True) as world:
        yield world


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def guests(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Guests]:
    """A sandbox of its own with Safehold, and in it the VMs `orders` (Block, Filesystem) and `web` (Block) that run.

    KubeVirt tracks the changed blocks of `orders`, and Safehold may use its backups.
    """
    if os.geteuid() != 0:
        pytest.skip("the controller and its Jobs run in containers, for which the sandbox's kubelet needs root")
    if not qemu_installed():
        pytest.skip("QEMU is not installed: run `make system` as root")
    folder = tmp_path_factory.mktemp("guests")
    engines = {"kubevirt": True}
    async with (
        running_world(folder / "state", no_qemu=False, engines=engines) as world,
        world.tenant(NAMESPACE) as tenant,
    ):
        guests = Guests(world, tenant, folder)
        await asyncio.gather(guests.boot("orders", "Block", "Filesystem", tracked=True), guests.boot("web", "Block"))
        yield guests


@pytest_asyncio.fixture(loop_scope="session")
async def tenant(world: World, request: pytest.FixtureRequest) -> AsyncIterator[Tenant]:
    """A namespace of the test's own with a user who may edit it; it ends with the test."""
    name = request.node.name.split("[")[0].removeprefix("test_").replace("_", "-")[:50].strip("-")
    async with world.tenant(name) as tenant:
        yield tenant


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows the end of the controller's log."""
    report = yield
    world = _world_of(item)
    if report.failed and call.when == "call" and world is not None:
        kubectl = [sys.executable.replace("python", "kubectl"), f"--kubeconfig={world.kubectl.kubeconfig}"]
        command = [*kubectl, "logs", "-n", "safehold", "deploy/safehold", f"--tail={_LOG_LINES}"]
        log = subprocess.run(command, capture_output=True, text=True, check=False)
        report.sections.append(("controller's log", log.stdout + log.stderr))
    return report


def _world_of(item: pytest.Item) -> World | None:
    used = getattr(item, "funcargs", {})
    guests = used.get("guests")
    return guests.world if guests else used.get("world")
