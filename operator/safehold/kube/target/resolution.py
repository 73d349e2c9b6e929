"""Targets in the cluster: who may use them, and the Secrets that a run gets from them."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from safehold.api import BackupTarget, ClusterBackupTarget, TargetRef
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import BACKUP_TARGET, CLUSTER_BACKUP_TARGET, ENDPOINT_SLICE, NAMESPACE, SECRET, SERVICE
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules
from safehold.plan.target.use import AnyTarget, TargetFacts, resolve
from safehold.plan.tenancy import NamespaceFacts
from safehold.reasons import Reason
from safehold.run import CA_FILE, CREDENTIALS_FILE, KEY_FILE

ACCESS_KEY_ID, SECRET_ACCESS_KEY = "accessKeyId", "secretAccessKey"
"""The keys in a credentials Secret."""
_PRINTABLE_WORD = re.compile(r"[\x21-\x7e]{1,512}")
"""An access key is one word; a line break in it would add lines, such as a command, to the AWS credentials file."""

Taken = dict[str, bytes] | Refusal
Take = Callable[[Manifest, str], Taken]
"""Turns a Secret, and what to call it in a sentence, into files for a run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositorySecrets:
    """What a target's Secrets hold, ready to be mounted beside a run; `refusal` when they cannot be used."""

    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    fingerprint: str = ""
    """Changes when one of the Secrets changes; made from their uids and resourceVersions, not from what they hold."""
    refusal: Refusal | None = None


async def resolve_target(
    cluster: Cluster, ref: TargetRef, namespace: str, *, operator_namespace: str, rules: EndpointRules
) -> TargetFacts | Refusal:
    """The target that an object of `namespace` names, or why it cannot be used there now."""
    target = await read_target(cluster, ref, namespace)
    holder = await read_namespace(cluster, namespace)
    if holder is None:
        holder = NamespaceFacts(name=namespace, uid="", labels={}, annotations={})
    return resolve(ref, target, namespace=holder, operator_namespace=operator_namespace, rules=rules)


async def read_namespace(cluster: Cluster, name: str) -> NamespaceFacts | None:
    """What decisions about tenants look at; None when there is no such Namespace."""
    found = await cluster.get(NAMESPACE, name)
    if found is None:
        return None
    metadata = found["metadata"]
    return NamespaceFacts(
        name=name,
        uid=metadata["uid"],
        labels=metadata.get("labels") or {},
        annotations=metadata.get("annotations") or {},
    )


async def read_target(cluster: Cluster, ref: TargetRef, namespace: str) -> AnyTarget | None:
    """The target object itself; a BackupTarget is looked for in `namespace` only."""
    if ref.kind == "ClusterBackupTarget":
        found = await cluster.get(CLUSTER_BACKUP_TARGET, ref.name)
        return None if found is None else ClusterBackupTarget.model_validate(found)
    found = await cluster.get(BACKUP_TARGET, ref.name, namespace)
    return None if found is None else BackupTarget.model_validate(found)


async def api_server_addresses(cluster: Cluster) -> tuple[str, ...]:
    """The addresses under which workers would reach the API server: the Service `kubernetes` and what is behind it."""
    service = await cluster.get(SERVICE, "kubernetes", "default") or {}
    found = set((service.get("spec") or {}).get("clusterIPs") or [])
    for piece in await cluster.list(ENDPOINT_SLICE, "default", labels={"kubernetes.io/service-name": "kubernetes"}):
        for endpoint in piece.get("endpoints") or []:
            found.update(endpoint.get("addresses") or [])
    return tuple(sorted(found - {"None"}))


async def read_secrets(cluster: Cluster, facts: TargetFacts) -> RepositorySecrets:
    """Read the Secrets that the target names and check what can be checked without asking the object store."""
    versions: list[object] = []
    files: dict[str, bytes] = {}
    refusal: Refusal | None = None
    for name, take in _wanted(facts):
        secret = await cluster.get(SECRET, name, facts.secrets_namespace)
        metadata = (secret or {}).get("metadata") or {}
        versions.append([name, metadata.get("uid"), metadata.get("resourceVersion")])
        taken = _missing(facts, name) if secret is None else take(secret, f"Secret {facts.secrets_namespace}/{name}")
        if isinstance(taken, Refusal):
            refusal = refusal or taken
        else:
            files |= taken
    fingerprint = hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:16]
    return RepositorySecrets(files={} if refusal else files, fingerprint=fingerprint, refusal=refusal)


def _wanted(facts: TargetFacts) -> Iterator[tuple[str, Take]]:
    """The Secrets that the target names, each with what turns it into files."""
    yield facts.key.name, partial(_key_file, facts.key.key)
    if facts.credentials is not None:
        yield facts.credentials.name, _credentials_file
    if facts.ca_bundle is not None:
        yield facts.ca_bundle.name, partial(_ca_file, facts.ca_bundle.key)


def _missing(facts: TargetFacts, name: str) -> Refusal:
    message = (
        f"Secret {facts.secrets_namespace}/{name}, which {facts.kind} {facts.name} names, does not exist; create it"
    )
    return Refusal(Reason.SECRET_NOT_FOUND, message)


def _value(secret: Manifest, key: str, called: str) -> bytes | Refusal:
    encoded = (secret.get("data") or {}).get(key)
    if encoded is None:
        return Refusal(Reason.SECRET_NOT_FOUND, f"{called} has no key {key}; add it")
    return base64.b64decode(encoded)


def _key_file(key: str, secret: Manifest, called: str) -> Taken:
    value = _value(secret, key, called)
    if isinstance(value, Refusal):
        return value
    if not _is_repository_key(value):
        remedy = "put the file that `safehold key new` writes there, unchanged"
        return Refusal(Reason.INVALID_KEY, f"{called}, key {key}, is not a repository key; {remedy}")
    return {KEY_FILE: value}


def _is_repository_key(value: bytes) -> bool:
    """The shape and the check digits of docs/format.md; whether it opens the repository, only the worker can tell."""
    prefix, _, encoded = value.strip().partition(b":")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return False
    key, check = decoded[:32], decoded[32:]
    return prefix == b"safehold-key-1" and len(key) == 32 and check == hashlib.sha256(key).digest()[:4]


def _credentials_file(secret: Manifest, called: str) -> Taken:
    lines = ["[default]"]
    for key, option in ((ACCESS_KEY_ID, "aws_access_key_id"), (SECRET_ACCESS_KEY, "aws_secret_access_key")):
        value = _value(secret, key, called)
        if isinstance(value, Refusal):
            return value
        word = value.decode(errors="replace").strip()
        if not _PRINTABLE_WORD.fullmatch(word):
            message = f"{called}, key {key}, is not one word of printable characters; put the access key there as it is"
            return Refusal(Reason.INVALID_CREDENTIALS, message)
        lines.append(f"{option} = {word}")
    return {CREDENTIALS_FILE: ("\n".join(lines) + "\n").encode()}


def _ca_file(key: str, secret: Manifest, called: str) -> Taken:
    value = _value(secret, key, called)
    if isinstance(value, Refusal):
        return value
    if b"-----BEGIN CERTIFICATE-----" not in value:
        message = f"{called}, key {key}, holds no PEM certificate; put the bundle of the endpoint's authority there"
        return Refusal(Reason.INVALID_CREDENTIALS, message)
    return {CA_FILE: value}
