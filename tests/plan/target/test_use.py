"""Which targets a run may use, and what it learns of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api import BackupTarget, ClusterBackupTarget, TargetRef
from safehold.plan.refusal import Refusal
from safehold.plan.target.endpoint import EndpointRules, refuse_endpoint
from safehold.plan.target.use import AnyTarget, TargetFacts, resolve
from safehold.plan.tenancy import NamespaceFacts
from safehold.reasons import Reason

RULES = EndpointRules(api_server=("10.96.0.1", "192.168.7.10"))


def target(kind: str = "ClusterBackupTarget", ready: str | None = "True", **changes: Any) -> AnyTarget:
    """A target that serves the namespaces labelled backup=allowed; `changes` replace parts of its spec."""
    spec = {
        "s3": {"bucket": "backups", "prefix": "production", "endpoint": "https://s3.example.org"},
        "encryption": {"keySecretRef": {"name": "key"}},
        "credentialsSecretRef": {"name": "credentials"},
        **({"allowedNamespaces": {"matchLabels": {"backup": "allowed"}}} if kind == "ClusterBackupTarget" else {}),
        **changes,
    }
    condition = {
        "type": "Ready",
        "status": ready,
        "observedGeneration": 3,
        "lastTransitionTime": "2026-11-22T09:00:00Z",
        "reason": "AccessDenied",
        "message": "the store refuses the credentials",
    }
    metadata = {"name": "primary", "uid": "target-uid", "generation": 3}
    if kind == "BackupTarget":
        metadata["namespace"] = "shop"
    status = {"repositoryID": "repo-1", "conditions": [condition] if ready else []}
    model = BackupTarget if kind == "BackupTarget" else ClusterBackupTarget
    return model.model_validate({"kind": kind, "metadata": metadata, "spec": spec, "status": status})


def resolved(found: AnyTarget | None, kind: str = "ClusterBackupTarget", rules: EndpointRules = RULES) -> object:
    """What a run in the namespace `shop` gets of the target."""
    ref = TargetRef.model_validate({"kind": kind, "name": "primary"})
    shop = NamespaceFacts(name="shop", uid="shop-uid", labels={"backup": "allowed"}, annotations={})
    return resolve(ref, found, namespace=shop, operator_namespace="safehold", rules=rules)


def test_a_cluster_target_lends_the_operators_secrets() -> None:
    """Secrets of a ClusterBackupTarget lie in the operator's namespace, and the place is passed on whole."""
    facts = resolved(target())
    assert isinstance(facts, TargetFacts)
    assert (facts.secrets_namespace, facts.key.name, facts.key.key) == ("safehold", "key", "repository.key")
    assert (facts.place.bucket, facts.place.prefix, facts.repository_id) == ("backups", "production", "repo-1")
    assert facts.place.forbidden_addresses == ["10.96.0.1", "192.168.7.10"]


def test_a_namespaced_target_uses_its_own_secrets() -> None:
    """Secrets of a BackupTarget lie beside it."""
    facts = resolved(target("BackupTarget"), "BackupTarget")
    assert isinstance(facts, TargetFacts)
    assert facts.secrets_namespace == "shop"


def test_a_targets_limits_go_with_it() -> None:
    """How many runs, which of Kueue's queues, and what a worker may send in a second, in bytes."""
    facts = resolved(target(maxActiveRuns=3, queueName="nightly", workerBandwidth="100Mi"))
    assert isinstance(facts, TargetFacts)
    assert (facts.max_active_runs, facts.queue_name) == (3, "nightly")
    assert facts.place.bandwidth_bytes_per_second == 100 << 20


@pytest.mark.parametrize(("sharing", "domain"), [("Namespace", "namespace/shop-uid"), ("Target", "target")])
def test_key_domain(sharing: str, domain: str) -> None:
    """Keys are the namespace's own unless the target shares them."""
    facts = resolved(target(keyDomain=sharing))
    assert isinstance(facts, TargetFacts)
    assert facts.key_domain("shop-uid") == domain


@pytest.mark.parametrize(
    ("found", "reason", "words"),
    [
        (None, Reason.TARGET_NOT_FOUND, "create it or correct targetRef"),
        (target(allowedNamespaces=None), Reason.TARGET_NOT_ALLOWED, "does not serve namespace shop"),
        (target(allowedNamespaces={}), Reason.TARGET_NOT_ALLOWED, "allowedNamespaces"),
        (target(allowedNamespaces={"names": ["bank"]}), Reason.TARGET_NOT_ALLOWED, "does not serve"),
        (target(ready=None), Reason.TARGET_NOT_READY, "has not been checked yet"),
        (target(ready="False"), Reason.TARGET_NOT_READY, "the store refuses the credentials"),
        (
            target(s3={"bucket": "backups", "endpoint": "http://127.0.0.1:9000"}),
            Reason.ENDPOINT_NOT_ALLOWED,
            "loopback",
        ),
    ],
)
def test_refusals(found: AnyTarget | None, reason: Reason, words: str) -> None:
    """Each reason why a target cannot be used has its own word, and a sentence that says what to do."""
    refusal = resolved(found)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is reason
    assert words in refusal.message


def test_a_verdict_on_an_older_spec_does_not_count() -> None:
    """A target whose spec changed after the last check is not ready, whatever its condition says."""
    changed = target()
    changed = changed.model_copy(update={"metadata": changed.metadata.model_copy(update={"generation": 4})})
    refusal = resolved(changed)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.TARGET_NOT_READY


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000",
        "http://127.1.2.3",
        "https://localhost:9000",
        "https://s3.localhost",
        "http://[::1]:9000",
        "http://[::ffff:127.0.0.1]:9000",
        "http://169.254.169.254",
        "http://[fe80::1]",
        "http://0.0.0.0:9000",
        "https://10.96.0.1",
        "https://192.168.7.10:6443",
    ],
)
def test_endpoints_that_only_the_operator_reaches_are_refused(url: str) -> None:
    """Loopback, link-local, cloud metadata and the API server are refused by their literal addresses."""
    refusal = refuse_endpoint(url, RULES)
    assert refusal is not None
    assert refusal.reason is Reason.ENDPOINT_NOT_ALLOWED


def test_the_setting_for_local_endpoints_does_not_open_the_api_server() -> None:
    """`allow_local` lets loopback addresses pass, and nothing else."""
    rules = EndpointRules(allow_local=True, api_server=RULES.api_server)
    assert refuse_endpoint("http://127.0.0.1:9000", rules) is None
    assert refuse_endpoint("https://10.96.0.1", rules) is not None


@given(st.ip_addresses(v=4, network="203.0.113.0/24"))
def test_addresses_of_the_network_pass(address: object) -> None:
    """Ordinary addresses, and AWS's default endpoint, are nobody's business."""
    assert refuse_endpoint(f"https://{address}:9000", RULES) is None
    assert refuse_endpoint(None, RULES) is None
