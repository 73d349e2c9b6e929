"""How a worker ends otherwise than well, and what its VMBackup says then."""

from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import POLL_SECONDS

LITTLE = "24Mi"
"""Less than a Python program with its libraries needs."""


async def test_a_worker_without_enough_memory_is_told_with_its_limit(tenant: Tenant) -> None:
    """The kernel kills it, so there is no report; the status names limit and setting, and more memory mends it."""
    world = tenant.world
    await tenant.machine("orders")
    starved = {"SAFEHOLD_WORKER_MEMORY_LIMIT": LITTLE, "SAFEHOLD_WORKER_MEMORY_REQUEST": LITTLE}
    await world.install(env={"SAFEHOLD_POLL_SECONDS": POLL_SECONDS, "SAFEHOLD_WORKER_BACKOFF_LIMIT": "0", **starved})
    try:
        failed = await tenant.backed_up("starved", "orders")
    finally:
        await world.install()
    assert_refused(failed, "JobFailed", "worker.memoryLimit")
    assert f"limit of {LITTLE}" in failed["status"]["conditions"][0]["message"]
    await tenant.left_nothing()
    assert_ready(await tenant.backed_up("fed", "orders"))
