"""Application hooks around the freeze of a real guest."""

import pytest
from tests.e2e.guests import Guests
from tests.e2e.test_hooks import allow_hooks, application, hook, story
from tests.e2e.verdicts import assert_ready


@pytest.mark.timeout(600)
async def test_a_frozen_guest_and_hooks_that_succeed_make_an_application_point(guests: Guests) -> None:
    """Nothing less fulfils the demand: the guest agent froze the file systems, and the hooks ran around that."""
    tenant = guests.tenant
    await application(tenant)
    await allow_hooks(tenant)
    demand = {"level": "Application"}
    hooks = {"pre": [hook("hold")], "post": [hook("resume")]}
    await tenant.apply(tenant.backup("with-hooks", "web", consistency=demand, hooks=hooks))
    backup = await guests.ended("with-hooks")
    assert_ready(backup)
    assert backup["status"]["consistency"]["reached"] == "Application"
    assert await story(tenant) == ["hold", "resume"]
    failing = {**hooks, "post": [hook("resume", "exit 1", onError="Continue")]}
    await tenant.apply(tenant.backup("with-failing-hook", "web", consistency=demand, hooks=failing))
    refused = await guests.ended("with-failing-hook")
    assert refused["status"]["failure"]["reason"] == "ConsistencyNotReached"
    assert "not every hook succeeded" in refused["status"]["failure"]["message"]
