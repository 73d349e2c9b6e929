"""A controller's parts on an API server of their own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from gen_crds import CRDS
from safehold.controller.memo import Operator
from safehold.controller.settings import ControllerSettings
from safehold.errors import SafeholdError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.fleet import Fleet, Member, Roster
from safehold.kube.kinds import NAMESPACE, VM, Kind
from safehold.plan.target.endpoint import EndpointRules
from sandbox.apiserver import running_api_server

NOW = datetime(2026, 11, 22, 14, 0, tzinfo=UTC)
SHOP, OPERATOR_NAMESPACE = "shop", "safehold"
DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)


class FreshRoster(Roster):
    """Lists before each look: a test need not wait for a watch."""

    async def members(self, namespace: str | None = None) -> list[Member]:
        """As they are now."""
        await self.refresh()
        return await super().members(namespace)


@pytest.fixture
async def operator(tmp_path: Path) -> AsyncIterator[Operator]:
    """On a cluster that has Safehold's definitions, but neither KubeVirt nor snapshots."""
    with running_api_server(tmp_path) as server:
        async with Cluster.connect(server.kubeconfig) as cluster:
            for path in sorted(CRDS.glob("*.yaml")):
                await cluster.create(DEFINITION, yaml.safe_load(path.read_text()))
            for name in (SHOP, OPERATOR_NAMESPACE):
                await cluster.create(NAMESPACE, {"metadata": {"name": name}})
            yield Operator(
                cluster=cluster,
                fleet=Fleet(FreshRoster(cluster, VM), FreshRoster(cluster, NAMESPACE)),
                settings=ControllerSettings(),
                cluster_id="cluster",
                endpoint_rules=EndpointRules(),
                now=lambda: NOW,
            )


async def define(cluster: Cluster, kind: Kind) -> None:
    """Serve a kind of others, whatever its objects hold."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": kind.version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
    definition: Manifest = {
        "metadata": {"name": f"{kind.plural}.{kind.group}"},
        "spec": {
            "group": kind.group,
            "scope": "Namespaced" if kind.namespaced else "Cluster",
            "names": {"plural": kind.plural, "kind": kind.kind},
            "versions": [version],
        },
    }
    await cluster.create(DEFINITION, definition)
    await served(cluster, kind)


async def served(cluster: Cluster, kind: Kind) -> None:
    """Wait until a kind is served."""
    async with asyncio.timeout(180):
        while True:
            try:
                await cluster.list(kind)
            except SafeholdError:
                await asyncio.sleep(0.05)
            else:
                return
