"""Volumes that are added to VMs and instances: what virt-api refuses, and what becomes of the others."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import ApiError
from sandbox.cluster.kinds import NAMESPACE, PERSISTENT_VOLUME_CLAIM, POD, VIRTUAL_MACHINE, VIRTUAL_MACHINE_INSTANCE
from sandbox.cluster.waiting import wait_until
from sandbox.csi.service import running_storage
from sandbox.kubevirt.service import Settings, running_kubevirt

from .objects import claim, machine

_SHOP = "shop"
_SUBRESOURCES = f"/apis/subresources.kubevirt.io/v1/namespaces/{_SHOP}"
EXTRA: dict[str, Any] = {
    "name": "extra",
    "disk": {"disk": {"bus": "virtio"}},
    "volumeSource": {"persistentVolumeClaim": {"claimName": "web-extra"}},
}


@dataclass(frozen=True)
class Shop:
    """A VM `web` that runs, as a guest that is only its disks, and a claim `web-extra` beside it."""

    cluster: Cluster

    async def ask(self, resource: str, verb: str, body: Object) -> None:
        """Call a subresource of `web`."""
        await self.cluster.request("PUT", f"{_SUBRESOURCES}/{resource}/web/{verb}", body=body)

    async def entry(self, phase: str | None) -> Object | None:
        """The plugged volume's entry in the instance's status, once it is in that phase, or absent."""

        def reached(found: Object | None) -> bool:
            return ((_entry(found) or {}).get("phase")) == phase and found is not None

        found = await wait_until(self.cluster, VIRTUAL_MACHINE_INSTANCE, "web", _SHOP, reached=reached)
        return _entry(found)

    async def volumes(self, resource: str) -> list[str]:
        """The names of the volumes of the VM, or of its instance."""
        if resource == "virtualmachines":
            found = await self.cluster.get(VIRTUAL_MACHINE, "web", _SHOP)
            return [volume["name"] for volume in (found or {})["spec"]["template"]["spec"]["volumes"]]
        found = await self.cluster.get(VIRTUAL_MACHINE_INSTANCE, "web", _SHOP)
        return [volume["name"] for volume in (found or {})["spec"]["volumes"]]


def _entry(instance: Object | None) -> Object | None:
    statuses = ((instance or {}).get("status") or {}).get("volumeStatus") or []
    return next((item for item in statuses if item["name"] == "extra"), None)


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    """The VM runs when a test begins."""
    settings = Settings(state=tmp_path / "kubevirt", volumes=tmp_path / "csi", image=None)
    with running_api_server(tmp_path / "api") as server:
        async with (
            running_storage(server.kubeconfig, settings.volumes),
            running_kubevirt(server.kubeconfig, settings),
            Cluster.connect(server.kubeconfig, "test") as cluster,
        ):
            await cluster.create(NAMESPACE, {"metadata": {"name": _SHOP}})
            for name, mode in (("web-root", "Block"), ("web-data", "Filesystem"), ("web-extra", "Block")):
                await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(_SHOP, name, mode, "16Mi"))
            await cluster.create(VIRTUAL_MACHINE, machine(_SHOP, "web"))
            await wait_until(
                cluster,
                VIRTUAL_MACHINE_INSTANCE,
                "web",
                _SHOP,
                reached=lambda found: ((found or {}).get("status") or {}).get("phase") == "Running",
            )
            yield Shop(cluster)


@pytest.mark.parametrize("resource", ["virtualmachines", "virtualmachineinstances"])
async def test_a_volume_is_plugged_through_a_pod_and_out_again(shop: Shop, resource: str) -> None:
    """Added to the VM it is in both, added to the instance in that alone; its claim is held by a pod of its own."""
    await shop.ask(resource, "addvolume", EXTRA)
    entry = await shop.entry("Ready")
    assert entry is not None
    assert entry["message"] == "Successfully attach hotplugged volume extra to VM"
    assert entry["persistentVolumeClaimInfo"]["claimName"] == "web-extra"
    pod = await shop.cluster.get(POD, entry["hotplugVolume"]["attachPodName"], _SHOP)
    assert pod is not None
    assert ("extra" in await shop.volumes("virtualmachines")) is (resource == "virtualmachines")
    assert "extra" in await shop.volumes("virtualmachineinstances")

    await shop.ask(resource, "removevolume", {"name": "extra"})
    await shop.entry(None)
    assert "extra" not in await shop.volumes("virtualmachines") + await shop.volumes("virtualmachineinstances")
    await wait_until(shop.cluster, POD, pod["metadata"]["name"], _SHOP, reached=lambda found: found is None)


@pytest.mark.parametrize(
    ("verb", "body", "code", "said"),
    [
        ("addvolume", {**EXTRA, "name": ""}, 400, "requires name to be set"),
        ("addvolume", {**EXTRA, "disk": None}, 400, "requires disk to not be nil"),
        ("addvolume", {**EXTRA, "volumeSource": None}, 400, "requires VolumeSource to not be nil"),
        ("addvolume", {**EXTRA, "name": "root"}, 409, "[root] because volume with that name already exists"),
        (
            "addvolume",
            {**EXTRA, "volumeSource": {"persistentVolumeClaim": {"claimName": "web-root"}}},
            409,
            "Unable to add volume source [web-root] because it already exists",
        ),
        ("removevolume", {"name": ""}, 400, "requires name to be set"),
        ("removevolume", {"name": "extra"}, 409, "[extra] because it does not exist"),
        ("removevolume", {"name": "root"}, 409, "[root] because it is not hotpluggable"),
    ],
)
async def test_what_cannot_be_plugged_is_refused(shop: Shop, verb: str, body: Object, code: int, said: str) -> None:
    """In virt-api's words, of a VM and of an instance alike; nothing changes."""
    for resource in ("virtualmachines", "virtualmachineinstances"):
        before = await shop.volumes(resource)
        with pytest.raises(ApiError) as refused:
            await shop.ask(resource, verb, body)
        assert (refused.value.code, said in refused.value.message) == (code, True)
        assert await shop.volumes(resource) == before
