"""Reports that are too long for a termination message, through a real container's log."""

import os
import sys
from pathlib import Path

import pytest

from safehold.kube.client import Cluster
from safehold.kube.job_facts import observe_job
from safehold.kube.jobs import CONTAINER
from safehold.kube.kinds import JOB, NAMESPACE
from safehold.plan.job import read_report
from safehold.report import RunReport
from sandbox.apiserver import running_api_server
from sandbox.cluster.client import Cluster as SandboxCluster
from sandbox.cluster.client import Object
from sandbox.cluster.kinds import JOB as SANDBOX_JOB
from sandbox.cluster.waiting import wait_until
from sandbox.csi.service import running_storage
from sandbox.kubelet.container_life import NodeSettings
from sandbox.kubelet.images import Image, python_paths
from sandbox.kubelet.service import running_node

NAMES = [f"{number:02}-{'v' * 60}" for number in range(64)]
WORKER = f"""
from pathlib import Path
from safehold.report import RunReport, VolumeReport
from safehold.worker.report import write_report
volumes = [VolumeReport(name=name, bytes_total=1 << 40) for name in {NAMES}]
report = RunReport(run_id="run", verb="backup", succeeded=True, reason="Succeeded", message="well", volumes=volumes)
print("a line of the log")
write_report(report, Path("/dev/termination-log"))
"""


def is_complete(job: Object | None) -> bool:
    """Whether the Job's Complete condition is there."""
    return any(found["type"] == "Complete" for found in ((job or {}).get("status") or {}).get("conditions") or [])


async def test_the_report_of_64_volumes_arrives_whole(tmp_path: Path) -> None:
    """The volumes that do not fit into the message are read from the log, and the plan believes the report."""
    if os.geteuid() != 0:
        pytest.skip("containers need root: each gets its own mounts and user")
    container = {"name": CONTAINER, "image": "python", "args": ["-c", WORKER]}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    with running_api_server(tmp_path / "api") as server:
        settings = NodeSettings(
            name="sandbox",
            address="127.0.0.1",
            folder=tmp_path / "node",
            storage=tmp_path / "csi",
            images=(Image("python", (sys.executable,), 65532, python_paths()),),
        )
        async with (
            running_storage(server.kubeconfig, tmp_path / "csi"),
            running_node(server.kubeconfig, settings),
            Cluster.connect(server.kubeconfig) as cluster,
            SandboxCluster.connect(server.kubeconfig, "tests") as sandbox,
        ):
            await cluster.create(NAMESPACE, {"metadata": {"name": "safehold"}})
            metadata = {"name": "backup", "namespace": "safehold"}
            await cluster.create(JOB, {"metadata": metadata, "spec": {"template": template}})
            await wait_until(sandbox, SANDBOX_JOB, "backup", "safehold", reached=is_complete, timeout_seconds=180)
            job = await observe_job(cluster, "safehold", "backup", run_id="run")
            others = await observe_job(cluster, "safehold", "backup", run_id="another")
    assert job is not None
    report = read_report(job, run_id="run", verb="backup", volumes=NAMES)
    assert isinstance(report, RunReport), report
    assert [volume.bytes_total for volume in report.volumes] == [1 << 40] * 64
    assert others is not None
    assert RunReport.model_validate_json(others.termination_message).volumes == []
