"""Which VolumeSnapshotClass CDI prefers for a StorageClass."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import STORAGE_PROFILE
from safehold.kube.storage_profiles import preferred_snapshot_classes
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.definitions import install_definitions
from sandbox.csi.manifests import DEFINITIONS

_REAL = Path(__file__).parents[2] / ".." / "shared" / "crds" / "csi" / "cdi.kubevirt.io_storageprofiles.yaml"
PROFILES: dict[str, Manifest] = {
    "reconciled": {"spec": {}, "status": {"snapshotClass": "fast"}},
    "fresh": {"spec": {"snapshotClass": "mine"}},
    "changed": {"spec": {"snapshotClass": "new"}, "status": {"snapshotClass": "old"}},
    "silent": {"spec": {}, "status": {"provisioner": "csi.example"}},
}


@pytest.fixture(params=["the sandbox's", "the real"])
async def cdi(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster that knows StorageProfiles, by the sandbox's definition and by CDI's own."""
    if request.param == "the real" and not _REAL.is_file():
        pytest.skip("the real definitions (../shared/crds) are not on this machine")
    with running_api_server(tmp_path) as server:
        async with (
            SandboxCluster.connect(server.kubeconfig, "tests") as sandbox,
            Cluster.connect(server.kubeconfig) as cluster,
        ):
            if request.param == "the real":
                definition = yaml.safe_load(_REAL.read_text())
                await install_definitions(sandbox, [definition])
            else:
                await install_definitions(sandbox, DEFINITIONS)
            yield cluster


async def test_a_profile_names_its_class(cdi: Cluster) -> None:
    """The status first, which CDI keeps and KubeVirt reads, then what a person wrote; a silent profile names none."""
    for name, content in PROFILES.items():
        await cdi.create(STORAGE_PROFILE, {"metadata": {"name": name}, "spec": content.get("spec", {})})
        status = {"status": content.get("status", {})}
        await cdi.merge_patch(STORAGE_PROFILE, name, None, status, subresource="status")
    found = await preferred_snapshot_classes(cdi, [*PROFILES, "without-profile"])
    assert found == {"reconciled": "fast", "fresh": "mine", "changed": "old"}


async def test_without_cdi_nothing_is_preferred(cluster: Cluster) -> None:
    """The kind is not served, which is no error."""
    assert await preferred_snapshot_classes(cluster, ["fast"]) == {}
