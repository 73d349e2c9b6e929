"""Worker Jobs: what a pod gets and what it does not, and what is believed of its end."""

import asyncio
import base64
import json
from typing import Any, Literal

import pytest

from safehold.kube.client import Cluster, Manifest
from safehold.kube.job_facts import observe_job
from safehold.kube.jobs import (
    CONTAINER,
    JOB_NAME_LABEL,
    KUEUE_QUEUE,
    MountedVolume,
    WorkerJob,
    WorkerPod,
    delete_job,
    start_job,
)
from safehold.kube.kinds import JOB, POD, SECRET, SERVICE_ACCOUNT
from safehold.report import EXIT_REFUSED
from safehold.run import KEY_FILE, RUN_FILE, RepositoryPlace, TargetRun, token_path

KEY = b"the repository key"
RUN = TargetRun(run_id="run-1", repository=RepositoryPlace(bucket="b"), access_mode="ReadWrite")


def pod(namespace: str) -> WorkerPod:
    """The settings of worker pods."""
    return WorkerPod(
        namespace=namespace,
        image="safehold:1",
        command=(),
        service_account="worker",
        changed_blocks_account="safehold-changed-blocks",
        cpu_request="500m",
        memory_request="256Mi",
        memory_limit="512Mi",
        deadline_seconds=3600,
        backoff_limit=2,
    )


def job(*volumes: MountedVolume, **changes: Any) -> WorkerJob:
    """A run with a key beside it."""
    parts: dict[str, Any] = {
        "name": "job",
        "verb": "backup",
        "labels": {"a": "b"},
        "run": RUN,
        "files": {KEY_FILE: KEY},
    }
    return WorkerJob(**{**parts, **changes}, volumes=volumes)


async def started(cluster: Cluster, namespace: str, *volumes: MountedVolume, **changes: Any) -> Manifest:
    """The Job as the server keeps it."""
    await start_job(cluster, pod(namespace), job(*volumes, **changes))
    return await cluster.read(JOB, "job", namespace)


async def test_a_job_of_a_queue_waits_for_kueue(cluster: Cluster, namespace: str) -> None:
    """It carries the queue's label and is created suspended; what is seen of it says whose word it waits for."""
    found = await started(cluster, namespace, queue="nightly")
    assert (found["metadata"]["labels"][KUEUE_QUEUE], found["spec"]["suspend"]) == ("nightly", True)
    waiting = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert waiting is not None
    assert waiting.queue == "nightly"
    await cluster.merge_patch(JOB, "job", namespace, {"spec": {"suspend": False}})
    admitted = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert admitted is not None
    assert admitted.queue == ""


async def test_a_job_without_a_queue_is_nobodys_to_hold(cluster: Cluster, namespace: str) -> None:
    """No label and no suspension: where Kueue is not installed, nobody would ever start it."""
    found = await started(cluster, namespace)
    assert KUEUE_QUEUE not in found["metadata"]["labels"]
    assert not found["spec"].get("suspend")


async def test_the_run_and_the_key_are_in_a_secret_of_the_job(cluster: Cluster, namespace: str) -> None:
    """The Secret holds them and goes with the Job; the Job's own manifest names neither key nor run."""
    found = await started(cluster, namespace)
    secret = await cluster.read(SECRET, "job", namespace)
    assert base64.b64decode(secret["data"][KEY_FILE]) == KEY
    assert json.loads(base64.b64decode(secret["data"][RUN_FILE]))["run_id"] == "run-1"
    assert [owner["uid"] for owner in secret["metadata"]["ownerReferences"]] == [found["metadata"]["uid"]]
    assert base64.b64encode(KEY).decode() not in json.dumps(found)
    assert "run-1" not in json.dumps(found["spec"])


async def test_a_worker_that_asks_for_changed_blocks_gets_a_token_for_each_service(
    cluster: Cluster, namespace: str
) -> None:
    """Its account is another one, and the tokens are for the services' audiences alone; the API's is not mounted."""
    audiences = {"csi.example": "for-example", "csi.other": "for-other"}
    spec = (await started(cluster, namespace, audiences=audiences))["spec"]["template"]["spec"]
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("safehold-changed-blocks", False)
    (tokens,) = (volume["projected"]["sources"] for volume in spec["volumes"] if volume["name"] == "tokens")
    assert [source["serviceAccountToken"] for source in tokens] == [
        {"audience": "for-example", "expirationSeconds": 3600, "path": "csi.example"},
        {"audience": "for-other", "expirationSeconds": 3600, "path": "csi.other"},
    ]
    mounts = {mount["name"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert (mounts["tokens"]["mountPath"] + "/csi.other", mounts["tokens"]["readOnly"]) == (
        token_path("csi.other"),
        True,
    )


async def test_a_worker_has_no_token_and_no_privilege(cluster: Cluster, namespace: str) -> None:
    """The pod fulfils the Pod Security Standard `restricted`, as the user that KubeVirt's disks belong to."""
    spec = (await started(cluster, namespace))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 107)
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert not {"hostPath", "hostNetwork", "hostPID"} & {key for volume in spec["volumes"] for key in volume}
    assert container["args"] == ["worker", "backup"]
    assert container["resources"]["limits"]["memory"] == "512Mi"


async def test_a_job_ends_by_itself(cluster: Cluster, namespace: str) -> None:
    """Retries and time are bounded; the report must not vanish before it was read."""
    spec = (await started(cluster, namespace))["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"]) == (2, 3600)
    assert "ttlSecondsAfterFinished" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "Never"


async def test_only_failures_that_may_heal_are_tried_again(cluster: Cluster, namespace: str) -> None:
    """The worker's own exit code ends the Job at once; an evicted pod costs no attempt."""
    evicted, final = (await started(cluster, namespace))["spec"]["podFailurePolicy"]["rules"]
    assert evicted["action"] == "Ignore"
    assert [pattern["type"] for pattern in evicted["onPodConditions"]] == ["DisruptionTarget"]
    assert final["action"] == "FailJob"
    assert (final["onExitCodes"]["operator"], final["onExitCodes"]["values"]) == ("In", [EXIT_REFUSED])


async def test_disks_are_devices_or_read_only_folders(cluster: Cluster, namespace: str) -> None:
    """Block volumes are devices, Filesystem volumes folders with a disk.img, read-only where nothing is restored."""
    volumes = (
        MountedVolume(name="root", claim="root-clone", mode="Block", read_only=True),
        MountedVolume(name="data", claim="data-clone", mode="Filesystem", read_only=True),
        MountedVolume(name="new", claim="new-claim", mode="Filesystem", read_only=False),
    )
    spec = (await started(cluster, namespace, *volumes))["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert [device["devicePath"] for device in container["volumeDevices"]] == ["/dev/safehold/root"]
    mounts = {mount["mountPath"]: mount.get("readOnly", False) for mount in container["volumeMounts"]}
    assert (mounts["/volumes/data"], mounts["/volumes/new"], mounts["/run/safehold"]) == (True, False, True)
    assert [volume.path for volume in volumes] == [
        "/dev/safehold/root",
        "/volumes/data/disk.img",
        "/volumes/new/disk.img",
    ]
    claims = [v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"] if "persistentVolumeClaim" in v]
    assert claims == ["root-clone", "data-clone", "new-claim"]


async def test_a_worker_runs_where_its_volumes_are(cluster: Cluster, namespace: str) -> None:
    """The node selector of the source's volume becomes the pod's."""
    expression = {"key": "zone", "operator": "In", "values": ["a"]}
    terms = {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}
    spec = (await started(cluster, namespace, node_affinity=terms))["spec"]["template"]["spec"]
    assert spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] == terms


async def test_starting_twice_is_starting_once(cluster: Cluster, namespace: str) -> None:
    """A start that died after the Secret goes on, with the Secret as it is meant now; a Job is made once."""
    stale = {"metadata": {"name": "job", "namespace": namespace}, "data": {KEY_FILE: base64.b64encode(b"old").decode()}}
    await cluster.create(SECRET, stale)
    first = await started(cluster, namespace)
    assert base64.b64decode((await cluster.read(SECRET, "job", namespace))["data"][KEY_FILE]) == KEY
    assert (await started(cluster, namespace))["metadata"]["uid"] == first["metadata"]["uid"]


async def ended(
    cluster: Cluster,
    namespace: str,
    name: str,
    message: str,
    phase: Literal["Succeeded", "Failed", "Pending", "Running"] = "Succeeded",
    state: dict[str, Any] | None = None,
    memory: str = "1Gi",
) -> None:
    """A pod of the Job as the kubelet leaves it."""
    await cluster.create_if_absent(SERVICE_ACCOUNT, {"metadata": {"name": "worker", "namespace": namespace}})
    await cluster.create(
        POD,
        {
            "metadata": {"name": name, "namespace": namespace, "labels": {JOB_NAME_LABEL: "job"}},
            "spec": {
                "nodeName": "node-1",
                "containers": [{"name": CONTAINER, "image": "x", "resources": {"limits": {"memory": memory}}}],
                "serviceAccountName": "worker",
            },
        },
    )
    container = {"name": CONTAINER, "state": state or {"terminated": {"exitCode": 0, "message": message}}}
    status = {"phase": phase, "containerStatuses": [container]}
    await cluster.merge_patch(POD, name, namespace, {"status": status}, subresource="status")


async def finished(cluster: Cluster, namespace: str, kind: str, message: str = "") -> None:
    """The Job as its controller ends it."""
    condition = {"type": kind, "status": "True", "reason": "BackoffLimitExceeded", "message": message}
    await cluster.merge_patch(JOB, "job", namespace, {"status": {"conditions": [condition]}}, subresource="status")


async def test_the_report_is_the_one_of_the_pod_that_succeeded(cluster: Cluster, namespace: str) -> None:
    """After a failed try the message of the try that succeeded counts, in whatever order pods are listed."""
    await started(cluster, namespace)
    await ended(cluster, namespace, "a", "first failed", phase="Failed")
    await ended(cluster, namespace, "b", "second succeeded")
    await ended(cluster, namespace, "c", "killed", phase="Failed")
    await finished(cluster, namespace, "Complete")
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    assert (facts.outcome, facts.termination_message, facts.secret_owned) == ("Complete", "second succeeded", True)


async def test_of_a_failed_job_the_last_word_counts(cluster: Cluster, namespace: str) -> None:
    """Its own sentence, and the last pod's message."""
    await started(cluster, namespace)
    await ended(cluster, namespace, "a", "no bucket", phase="Failed")
    await finished(cluster, namespace, "Failed", "has reached the backoff limit")
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    assert (facts.outcome, facts.termination_message) == ("Failed", "no bucket")
    assert "backoff limit" in facts.failure


async def test_a_pod_that_waits_says_for_what(cluster: Cluster, namespace: str) -> None:
    """What the kubelet complains of is told, while the Job goes on."""
    await started(cluster, namespace)
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": "no such secret"}}
    await ended(cluster, namespace, "a", "", phase="Pending", state=waiting)
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    assert facts.outcome is None
    assert facts.waiting_for == "CreateContainerConfigError no such secret"


async def test_a_pod_killed_for_its_memory_names_its_limit(cluster: Cluster, namespace: str) -> None:
    """The kernel leaves no report, so the limit is all that can be told."""
    await started(cluster, namespace)
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    await ended(cluster, namespace, "a", "", phase="Failed", state=killed, memory="512Mi")
    await finished(cluster, namespace, "Failed")
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    assert facts.memory_limit == "512Mi"


async def test_a_pod_that_is_being_deleted_has_a_time_and_a_node(cluster: Cluster, namespace: str) -> None:
    """From these two the plan sees that a node is away."""
    await started(cluster, namespace)
    await ended(cluster, namespace, "a", "", phase="Running", state={"running": {}})
    held = {"metadata": {"finalizers": ["example.com/held"]}}
    await cluster.merge_patch(POD, "a", namespace, held)
    await cluster.delete(POD, "a", namespace)
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    (pod,) = facts.pods
    assert (pod.name, pod.node) == ("a", "node-1")
    assert pod.due_gone is not None
    await cluster.merge_patch(POD, "a", namespace, {"status": {"phase": "Failed"}}, subresource="status")
    over = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert over is not None
    assert over.pods == ()


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
async def test_an_image_that_cannot_be_pulled_has_one_sentence(cluster: Cluster, namespace: str, reason: str) -> None:
    """The kubelet changes its words with every try; the status does not."""
    await started(cluster, namespace)
    waiting = {"waiting": {"reason": reason, "message": f"words of {reason}"}}
    await ended(cluster, namespace, "a", "", phase="Pending", state=waiting)
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    assert facts.waiting_for == "image x cannot be pulled"


async def test_a_secret_without_its_job_is_seen(cluster: Cluster, namespace: str) -> None:
    """After a death before the adoption, the plan learns that the Secret has no owner."""
    await started(cluster, namespace)
    orphan = {"metadata": {"ownerReferences": None}}
    await cluster.merge_patch(SECRET, "job", namespace, orphan)
    facts = await observe_job(cluster, namespace, "job", run_id="run-1")
    assert facts is not None
    assert not facts.secret_owned
    assert await observe_job(cluster, namespace, "another", run_id="run-1") is None


async def test_a_job_is_deleted_with_its_pods_and_its_secret(cluster: Cluster, namespace: str) -> None:
    """It is over when all three are gone; then deleting is done."""
    found = await started(cluster, namespace)
    await ended(cluster, namespace, "a", "")
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": "job", "uid": found["metadata"]["uid"]}
    await cluster.merge_patch(POD, "a", namespace, {"metadata": {"ownerReferences": [owner]}})
    async with asyncio.timeout(180):
        while True:
            if await delete_job(cluster, namespace, "job"):
                break
            await asyncio.sleep(0.05)
    for kind in (JOB, SECRET):
        assert await cluster.get(kind, "job", namespace) is None
    assert await cluster.list(POD, namespace) == []
    assert await delete_job(cluster, namespace, "job")


def test_nothing_secret_is_in_a_jobs_repr() -> None:
    """A defect that prints the value prints neither the key nor the run, which holds the VM's own Secrets."""
    assert "repository key" not in repr(job())
    assert "run-1" not in repr(job())
