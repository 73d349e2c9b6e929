"""What the operator reads of targets: whose Secrets, what is in them, and which endpoints are the API server's."""

import base64
from typing import Any

import pytest

from safehold.api import BackupTarget
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.kube.client import Cluster
from safehold.kube.kinds import ENDPOINT_SLICE, SECRET
from safehold.kube.target.resolution import RepositorySecrets, api_server_addresses, read_secrets
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import TargetFacts, describe
from safehold.reasons import Reason

KEY = RepositoryKey.generate().text()
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
RIGHT: dict[str, dict[str, str]] = {
    "key": {"repository.key": KEY},
    "credentials": {"accessKeyId": "AKIATEST\n", "secretAccessKey": "se/cr+et"},
    "ca": {"ca.crt": PEM},
}


async def secrets_of(cluster: Cluster, namespace: str, **changes: dict[str, str] | None) -> RepositorySecrets:
    """Read a BackupTarget's Secrets, with some of them changed or absent."""
    for name, values in {**RIGHT, **changes}.items():
        if values is None:
            continue
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        existing = await cluster.create_if_absent(
            SECRET, {"metadata": {"name": name, "namespace": namespace}, "data": data}
        )
        if existing["data"] != data:
            await cluster.merge_patch(SECRET, name, namespace, {"data": data})
    return await read_secrets(cluster, facts(namespace))


def facts(namespace: str) -> TargetFacts:
    """A BackupTarget with key, credentials and a CA bundle."""
    spec: dict[str, Any] = {
        "s3": {"bucket": "backups", "caBundleSecretRef": {"name": "ca"}},
        "credentialsSecretRef": {"name": "credentials"},
        "encryption": {"keySecretRef": {"name": "key"}},
    }
    metadata = {"name": "own", "namespace": namespace, "uid": "target-uid"}
    found = describe(BackupTarget.model_validate({"metadata": metadata, "spec": spec}), "safehold", EndpointRules())
    assert isinstance(found, TargetFacts)
    return found


async def test_a_runs_files(cluster: Cluster, namespace: str) -> None:
    """Key and CA bundle are passed on as they are, credentials as an AWS credentials file; nothing is in the repr."""
    secrets = await secrets_of(cluster, namespace)
    assert secrets.refusal is None
    assert secrets.files["repository.key"] == KEY.encode()
    assert secrets.files["ca.pem"] == PEM.encode()
    expected = b"[default]\naws_access_key_id = AKIATEST\naws_secret_access_key = se/cr+et\n"
    assert secrets.files["credentials"] == expected
    assert "se/cr+et" not in repr(secrets)


async def test_the_fingerprint_follows_the_secrets(cluster: Cluster, namespace: str) -> None:
    """It stays while nothing changes, and moves with every change of a Secret, also when one is missing."""
    first = await secrets_of(cluster, namespace)
    assert (await read_secrets(cluster, facts(namespace))).fingerprint == first.fingerprint
    changed = await secrets_of(cluster, namespace, credentials={"accessKeyId": "A", "secretAccessKey": "B"})
    assert changed.fingerprint != first.fingerprint
    await cluster.delete(SECRET, "ca", namespace)
    gone = await read_secrets(cluster, facts(namespace))
    assert gone.fingerprint not in (first.fingerprint, changed.fingerprint)


@pytest.mark.parametrize(
    ("name", "values", "reason", "words"),
    [
        ("key", None, Reason.SECRET_NOT_FOUND, "does not exist"),
        ("key", {"other": KEY}, Reason.SECRET_NOT_FOUND, "no key repository.key"),
        ("key", {"repository.key": "secret"}, Reason.INVALID_KEY, "safehold key new"),
        ("key", {"repository.key": KEY[:-4] + "AAA\n"}, Reason.INVALID_KEY, "safehold key new"),
        ("key", {"repository.key": ""}, Reason.INVALID_KEY, "safehold key new"),
        ("credentials", None, Reason.SECRET_NOT_FOUND, "does not exist"),
        ("credentials", {"accessKeyId": "A"}, Reason.SECRET_NOT_FOUND, "secretAccessKey"),
        ("credentials", {"accessKeyId": "", "secretAccessKey": "B"}, Reason.INVALID_CREDENTIALS, "accessKeyId"),
        (
            "credentials",
            {"accessKeyId": "A\ncredential_process = id", "secretAccessKey": "B"},
            Reason.INVALID_CREDENTIALS,
            "one word",
        ),
        ("ca", {"ca.crt": "hello"}, Reason.INVALID_CREDENTIALS, "PEM"),
    ],
)
async def test_unusable_secrets(
    cluster: Cluster, namespace: str, name: str, values: dict[str, str] | None, reason: Reason, words: str
) -> None:
    """Found without asking the store: named, with what to do, and no file of a half-read target is passed on.

    A line break in an access key would add settings, such as a command, to the worker's AWS configuration.
    """
    secrets = await secrets_of(cluster, namespace, **{name: values})
    assert secrets.refusal is not None
    assert secrets.refusal.reason is reason
    assert words in secrets.refusal.message
    assert f"Secret {namespace}/{name}" in secrets.refusal.message
    assert not secrets.files


async def test_the_api_servers_addresses(cluster: Cluster) -> None:
    """The Service's own address and those behind it are known, so that no target leads to them."""
    slices = {
        "metadata": {
            "name": "kubernetes-2",
            "namespace": "default",
            "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": [{"addresses": ["192.0.2.7"]}],
    }
    await cluster.create(ENDPOINT_SLICE, slices)
    assert "192.0.2.7" in await api_server_addresses(cluster)
