"""Application hooks in real containers, through the API server's exec, with the rights that the chart ships."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from safehold.api.hooks import Hook
from safehold.kube.backup.hooks import HookRuns, OperatorAccount
from safehold.kube.client import Cluster
from safehold.kube.kinds import POD, Kind
from safehold.plan.backup.facts import HookFacts, HookOutcome
from safehold.plan.backup.steps import StartHook
from sandbox.apiserver import EmbeddedApiServer
from sandbox.demo.chart import render
from sandbox.kubelet.container_life import NodeSettings
from sandbox.kubelet.images import Image
from sandbox.kubelet.service import running_node

CLUSTER_ROLE = Kind("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", namespaced=False)
ROLE_BINDING = Kind("rbac.authorization.k8s.io", "v1", "rolebindings", "RoleBinding")
ACCOUNT = OperatorAccount(namespace="safehold", name="safehold")


@pytest.fixture(autouse=True)
async def _node(kube_server: EmbeddedApiServer, tmp_path: Path) -> AsyncIterator[None]:
    """A node whose image `shell` is this machine."""
    if os.geteuid() != 0:
        pytest.skip("containers need root: each gets its own mounts and user")
    settings = NodeSettings(
        name="sandbox", address="127.0.0.1", folder=tmp_path, storage=tmp_path / "csi", images=(Image("shell"),)
    )
    async with running_node(kube_server.kubeconfig, settings):
        yield


async def start_pod(cluster: Cluster, namespace: str, name: str, **labels: str) -> None:
    """A pod with the containers `app` and `side`, which runs until it is deleted."""
    command = ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]
    containers = [{"name": container, "image": "shell", "command": command} for container in ("app", "side")]
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "db", **labels}}
    spec = {"containers": containers, "terminationGracePeriodSeconds": 1}
    await cluster.create(POD, {"metadata": metadata, "spec": spec})
    async with asyncio.timeout(180):
        async for event in cluster.watch(POD, namespace, fields=f"metadata.name={name}", timeout_seconds=60):
            if (event.manifest.get("status") or {}).get("phase") == "Running":
                return


def step(namespace: str, script: str, **more: Any) -> StartHook:
    """A hook that runs a shell script in pods with the label app=db."""
    fields = {"name": "hold", "selector": {"matchLabels": {"app": "db"}}, "command": ["sh", "-c", script], **more}
    return StartHook(namespace=namespace, backup="b", run="run", phase="Pre", hook=Hook.model_validate(fields))


async def ended(cluster: Cluster, start: StartHook) -> HookOutcome:
    """The outcome of a hook, and that the backup was looked at again for it."""
    awake = asyncio.Event()
    runs = HookRuns(cluster, ACCOUNT, wake=lambda *_: awake.set())
    runs.start(start)
    assert runs.facts("run") == (HookFacts(phase="Pre", name="hold", outcome=None),)
    await asyncio.wait_for(awake.wait(), 60)
    (fact,) = runs.facts("run")
    runs.forget("run")
    assert runs.facts("run") == ()
    assert fact.outcome is not None
    return fact.outcome


async def test_a_hook_runs_in_every_pod_that_matches(cluster: Cluster, namespace: str) -> None:
    """In all running pods with the labels and in no other one; the first container is the one that is meant."""
    for name, labels in (("one", {}), ("two", {}), ("other", {"app": "web"})):
        await start_pod(cluster, namespace, name, **labels)
    outcome = await ended(cluster, step(namespace, "echo $HOSTNAME > /tmp/ran; test ! -e /tmp/side"))
    assert (outcome.succeeded, outcome.exit_code, outcome.message) == (True, 0, "")
    check = "test $(cat /tmp/ran) = $HOSTNAME"
    assert (await ended(cluster, step(namespace, check))).succeeded
    assert not (await ended(cluster, step(namespace, check, selector={"matchLabels": {"app": "web"}}))).succeeded
    assert not (await ended(cluster, step(namespace, check, container="side"))).succeeded


@pytest.mark.parametrize(
    ("script", "more", "code", "message"),
    [
        (
            "echo first >&2; echo 'disk full' >&2; exit 3",
            {},
            3,
            "Pod db, container app: exit code 3: disk full",
        ),
        ("seq 200000; seq 200000 >&2; exit 1", {}, 1, "exit code 1: 200000"),
        ("sleep 30", {"timeout": "1s"}, None, "it did not end within 1 s; the connection to it was closed"),
        ("true", {"container": "nowhere"}, None, "Pod db has no container nowhere, but app, side"),
        ("true", {"selector": {"matchLabels": {"app": "absent"}}}, None, "matches its selector; correct it"),
        ("true", {"command": ["/bin/absent"]}, None, 'exec: "/bin/absent": no such file or directory'),
    ],
    ids=["fails", "says much", "hangs", "no container", "no pod", "no program"],
)
async def test_how_a_hook_fails_is_told(
    cluster: Cluster, namespace: str, script: str, more: dict[str, Any], code: int | None, message: str
) -> None:
    """Exit code and last words, or why there are none."""
    await start_pod(cluster, namespace, "db")
    outcome = await ended(cluster, step(namespace, script, **more))
    assert (outcome.succeeded, outcome.exit_code) == (False, code)
    assert message in outcome.message
    assert len(outcome.message) < 600


async def test_the_right_is_given_in_the_namespace_alone(cluster: Cluster, namespace: str) -> None:
    """Without the binding the outcome says how it is made; with it the hook runs, and in no other namespace."""
    operator = cluster.as_service_account(ACCOUNT.namespace, ACCOUNT.name)
    await start_pod(cluster, namespace, "db")
    refused = await ended(operator, step(namespace, "true"))
    assert not refused.succeeded
    assert (
        f"kubectl create rolebinding safehold-hooks -n {namespace} --clusterrole=safehold-hooks "
        "--serviceaccount=safehold:safehold"
    ) in refused.message
    await bind(cluster, namespace)
    assert (await ended(operator, step(namespace, "true"))).succeeded
    assert not (await ended(operator, step("default", "true"))).succeeded


async def bind(cluster: Cluster, namespace: str) -> None:
    """What the message tells the namespace's administrator to do."""
    roles = next(text for name, text in render({}).items() if name.endswith("/tenant-roles.yaml"))
    role = next(found for found in yaml.safe_load_all(roles) if found["metadata"]["name"] == "safehold-hooks")
    await cluster.create_if_absent(CLUSTER_ROLE, role)
    binding = {
        "metadata": {"name": "safehold-hooks", "namespace": namespace},
        "roleRef": {"apiGroup": CLUSTER_ROLE.group, "kind": "ClusterRole", "name": "safehold-hooks"},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT.name, "namespace": ACCOUNT.namespace}],
    }
    await cluster.create(ROLE_BINDING, binding)
