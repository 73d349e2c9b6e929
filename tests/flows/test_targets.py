"""Targets against a real object store: what is wrong with one stands in its condition, and heals by itself."""

import base64
from typing import Any

import boto3
import pytest
from tests.flows.live_cluster import OPERATOR, LiveCluster, ready

from safehold.engine.keyfile import RepositoryKey
from safehold.kube.kinds import BACKUP_TARGET, CLUSTER_BACKUP_TARGET, JOB, SECRET


async def verdict(live: LiveCluster, name: str, **changes: Any) -> tuple[str, str, str]:
    """The Ready condition of a new ClusterBackupTarget once it was checked."""
    await live.cluster.create(CLUSTER_BACKUP_TARGET, live.target(name, **changes))
    return ready(await live.ended(CLUSTER_BACKUP_TARGET, name))


async def test_what_the_store_says_is_the_targets_reason(live: LiveCluster) -> None:
    """Wrong bucket, wrong credentials and an endpoint that does not answer each have their reason and a remedy."""
    await live.secret(OPERATOR, "stranger", accessKeyId="AKIANOBODY", secretAccessKey="wrong")
    cases: dict[str, tuple[dict[str, Any], str, str]] = {
        "no-bucket": ({"s3": {"bucket": "nowhere"}}, "BucketNotFound", "create it"),
        "no-access": ({"credentialsSecretRef": {"name": "stranger"}}, "AccessDenied", "check the access key"),
        "no-answer": ({"s3": {"endpoint": "http://127.0.0.1:1"}}, "EndpointUnreachable", "check the endpoint"),
    }
    for name, (changes, _, _) in cases.items():
        await live.cluster.create(CLUSTER_BACKUP_TARGET, live.target(name, **changes))
    for name, (_, reason, remedy) in cases.items():
        found = ready(await live.ended(CLUSTER_BACKUP_TARGET, name))
        assert found[:2] == ("False", reason)
        assert remedy in found[2]
        assert "checked again at" in found[2]
    for job in await live.cluster.list(JOB, OPERATOR):
        assert "no-" not in job["metadata"]["name"]


async def test_a_key_that_does_not_open_the_repository_is_told(live: LiveCluster) -> None:
    """The first target lays the repository out; one with another key for the same place gets WrongKey."""
    await live.secret(OPERATOR, "other-key", repository_key=RepositoryKey.generate().text())
    assert (await verdict(live, "first"))[0] == "True"
    other = await verdict(live, "second", s3={"prefix": "first"}, encryption={"keySecretRef": {"name": "other-key"}})
    assert other[:2] == ("False", "WrongKey")


@pytest.mark.parametrize(
    ("name", "values", "reason"),
    [
        ("absent", None, "SecretNotFound"),
        ("empty", {}, "SecretNotFound"),
        ("malformed", {"repository_key": "secret"}, "InvalidKey"),
        ("mistyped", {"repository_key": RepositoryKey.generate().text()[:-4] + "AAA\n"}, "InvalidKey"),
    ],
)
async def test_an_unusable_key_needs_no_job_and_heals(
    live: LiveCluster, name: str, values: dict[str, str] | None, reason: str
) -> None:
    """A missing or malformed key is found at once; with the right Secret in place the target becomes ready."""
    secret = f"key-{name}"
    if values is not None:
        await live.secret(OPERATOR, secret, **values)
    found = await verdict(live, f"bad-{name}", encryption={"keySecretRef": {"name": secret}})
    assert found[:2] == ("False", reason)
    assert secret in found[2]
    if values is None:
        await live.secret(OPERATOR, secret, repository_key=live.key)
    else:
        patch = {"data": {"repository.key": base64.b64encode(live.key).decode()}}
        await live.cluster.merge_patch(SECRET, secret, OPERATOR, patch)
    await live.until(CLUSTER_BACKUP_TARGET, f"bad-{name}", None, lambda target: ready(target)[0] == "True", seconds=60)


async def test_credentials_cannot_smuggle_settings_in(live: LiveCluster) -> None:
    """A line break in an access key would add a command to the worker's AWS configuration: it is refused."""
    await live.secret(OPERATOR, "smuggler", accessKeyId="A\ncredential_process = id", secretAccessKey="s")
    found = await verdict(live, "smuggled", credentialsSecretRef={"name": "smuggler"})
    assert found[:2] == ("False", "InvalidCredentials")


async def test_an_emptied_bucket_is_noticed(live: LiveCluster) -> None:
    """A repository that is gone is told, and none is laid out in its place."""
    assert (await verdict(live, "emptied"))[0] == "True"
    s3 = boto3.resource(
        "s3",
        endpoint_url=live.endpoint,
        region_name="us-east-1",
        aws_access_key_id=live.access["accessKeyId"],
        aws_secret_access_key=live.access["secretAccessKey"],
    )
    repository = s3.Bucket("backups").objects.filter(Prefix="emptied/")
    repository.delete()
    secret = await live.cluster.read(SECRET, "credentials", OPERATOR)
    await live.cluster.merge_patch(
        SECRET, "credentials", OPERATOR, {"metadata": {"labels": {"touched": secret["metadata"]["resourceVersion"]}}}
    )
    found = await live.until(
        CLUSTER_BACKUP_TARGET, "emptied", None, lambda target: ready(target)[1] == "RepositoryChanged"
    )
    assert ready(found)[0] == "False"
    assert not list(repository)


async def test_a_namespaces_target_uses_that_namespaces_secrets(live: LiveCluster) -> None:
    """A BackupTarget with the names of the operator's own Secrets does not get them."""
    await live.namespace("lone")
    await live.cluster.create(BACKUP_TARGET, _in("lone", live.target("own", BACKUP_TARGET)))
    found = ready(await live.ended(BACKUP_TARGET, "own", "lone"))
    assert found[:2] == ("False", "SecretNotFound")
    assert "Secret lone/key" in found[2]
    await live.secret("lone", "credentials", **live.access)
    await live.secret("lone", "key", repository_key=live.key)
    await live.until(BACKUP_TARGET, "own", "lone", lambda target: ready(target)[0] == "True")


def _in(namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
