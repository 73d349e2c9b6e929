"""Targets that cannot be used: each says why and what to do, and leaves nothing behind."""

import asyncio

from tests.e2e.kinds import BACKUP_TARGET, CLUSTER_BACKUP_TARGET
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused
from tests.e2e.world import OPERATOR, SHARED, World

from safehold.engine.keys.keyfile import RepositoryKey
from sandbox.cluster.client import Object
from sandbox.cluster.kinds import JOB, SECRET
from sandbox.demo.kubectl import condition, is_ready

TARGETS: dict[str, tuple[Object, str, str]] = {
    "no-bucket": ({"s3": {"bucket": "nowhere"}}, "BucketNotFound", "create it"),
    "no-access": ({"credentialsSecretRef": {"name": "stranger"}}, "AccessDenied", "check the access key"),
    "no-answer": ({"s3": {"endpoint": "http://127.0.0.1:1"}}, "EndpointUnreachable", "check the endpoint"),
    "no-such-host": ({"s3": {"endpoint": "http://s3.invalid"}}, "EndpointUnreachable", "check the endpoint"),
    "no-key": ({"encryption": {"keySecretRef": {"name": "absent"}}}, "SecretNotFound", "create it"),
    "no-entry": ({"encryption": {"keySecretRef": {"name": "stranger"}}}, "SecretNotFound", "add it"),
    "malformed": ({"encryption": {"keySecretRef": {"name": "malformed"}}}, "InvalidKey", "safehold key new"),
    "no-words": ({"credentialsSecretRef": {"name": "malformed"}}, "SecretNotFound", "add it"),
    "wrong-key": (
        {"s3": {"prefix": f"cluster/{SHARED}"}, "encryption": {"keySecretRef": {"name": "other-key"}}},
        "WrongKey",
        "key",
    ),
}

ASKED = ("BucketNotFound", "AccessDenied", "EndpointUnreachable", "WrongKey")
"""Reasons that the store gave, which may answer otherwise later. The others wait for a change of the Secret."""


async def test_what_is_wrong_with_a_target_is_its_reason(world: World) -> None:
    """Bucket, credentials, endpoint and key: one documented reason each, a remedy, and the time of the next check."""
    await world.secret(OPERATOR, "stranger", {"accessKeyId": "AKIANOBODY", "secretAccessKey": "wrong-secret-key"})
    await world.secret(OPERATOR, "malformed", {"repository.key": "this is no repository key"})
    await world.secret(OPERATOR, "other-key", {"repository.key": RepositoryKey.generate().text()})
    await world.apply(*(world.target(name, **changes) for name, (changes, _, _) in TARGETS.items()))
    for name, (_, reason, remedy) in TARGETS.items():
        found = await world.ended(CLUSTER_BACKUP_TARGET, name)
        assert_refused(found, reason, remedy)
        message = condition(found, "Ready")["message"]
        assert ("checked again at" in message) is (reason in ASKED), message
    await asyncio.gather(*(world.cluster.delete(CLUSTER_BACKUP_TARGET, name) for name in TARGETS))
    await asyncio.gather(*(world.until_gone(CLUSTER_BACKUP_TARGET, name) for name in TARGETS))
    left = [item for kind in (JOB, SECRET) for item in await world.cluster.list(kind, OPERATOR, labels=_of_targets())]
    assert [item["metadata"]["name"] for item in left] == []


async def test_a_tenants_target_gets_none_of_the_operators_secrets(tenant: Tenant) -> None:
    """Named like the Secrets of the operator's namespace, a BackupTarget's Secrets are looked for in its own only."""
    await tenant.apply(tenant.world.target("own", tenant.name))
    found = await tenant.world.ended(BACKUP_TARGET, "own", tenant.name)
    assert_refused(found, "SecretNotFound", f"Secret {tenant.name}/")


async def test_local_endpoints_need_the_operators_consent(tenant: Tenant) -> None:
    """With allowLocalEndpoints off, loopback, link-local and names that resolve to them are refused."""
    world = tenant.world
    await world.secret(tenant.name, "credentials", world.access)
    await world.secret(tenant.name, "key", {"repository.key": RepositoryKey.generate().text()})
    port = world.sandbox.s3_endpoint.rpartition(":")[2]
    hosts = {
        "loopback": "127.0.0.1",
        "mapped": "[::ffff:127.0.0.1]",
        "metadata": "169.254.169.254",
        "named": "localhost",
    }
    await world.install(allowLocalEndpoints=False)
    await tenant.apply(
        *(world.target(name, tenant.name, s3={"endpoint": f"http://{host}:{port}"}) for name, host in hosts.items())
    )
    for name in hosts:
        found = await world.ended(BACKUP_TARGET, name, tenant.name)
        assert_refused(found, "EndpointNotAllowed", "name an address that workers reach over the network")
    await world.install()
    assert_ready(await world.until(BACKUP_TARGET, "loopback", tenant.name, is_ready))


def _of_targets() -> str:
    return "safehold.dev/owner-kind=ClusterBackupTarget"
