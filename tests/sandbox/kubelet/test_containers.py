"""Containers as real processes: what they see, as whom they run, how they end."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import CONFIG_MAP, PERSISTENT_VOLUME_CLAIM, POD, SECRET
from sandbox.cluster.waiting import wait_until, wait_until_gone

if TYPE_CHECKING:
    from tests.sandbox.kubelet.conftest import Node

RESTRICTED: Object = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 107,
    "runAsGroup": 108,
    "capabilities": {"drop": ["ALL"]},
}


async def test_rights(node: Node) -> None:
    """A restricted container runs as its user, without capabilities, cannot gain any, and cannot write its root."""
    script = "id -u; id -G; grep -E 'CapEff|CapBnd|NoNewPrivs' /proc/self/status; touch /x || echo read-only; ls /root"
    await node.pod("p", script, pod={"securityContext": {"fsGroup": 2000}}, securityContext=RESTRICTED)
    log, state = await node.ended("p")
    lines = log.split("\n")
    assert lines[:2] == ["107", "108 2000"]
    assert [line.split()[1] for line in lines[2:5]] == ["0000000000000000", "0000000000000000", "1"]
    assert "read-only" in log
    assert state["exitCode"] != 0  # there is no /root to list


async def test_only_its_own_processes_are_seen(node: Node) -> None:
    """The command is process 1 and sees no process of the machine."""
    await node.pod("p", "echo $$$$; ls /proc | grep -c '^[0-9]'")
    log, _ = await node.ended("p")
    first, count = log.split()
    assert first == "1"
    assert int(count) <= 4


@pytest.mark.parametrize(
    ("script", "more", "code", "reason", "message"),
    [
        ("echo fine >/dev/termination-log", {}, 0, "Completed", "fine\n"),
        ("echo last words; exit 3", {}, 3, "Error", None),
        ("echo last words; exit 3", {"terminationMessagePolicy": "FallbackToLogsOnError"}, 3, "Error", "last words\n"),
    ],
    ids=["message", "no message", "message from the log"],
)
async def test_endings(
    node: Node, script: str, more: dict[str, Any], code: int, reason: str, message: str | None
) -> None:
    """Exit code, reason and termination message are reported as a kubelet does."""
    await node.pod("p", script, **more)
    _, state = await node.ended("p")
    assert (state["exitCode"], state["reason"], state.get("message")) == (code, reason, message)


async def test_memory_limit(node: Node) -> None:
    """A container over its memory limit is killed, and says OOMKilled."""
    limit = {"limits": {"memory": "64Mi"}}
    hungry = ["-c", "held = bytearray(256 << 20); print(len(held))"]
    await node.pod("p", "", image="python", command=None, args=hungry, resources=limit)
    _, state = await node.ended("p")
    assert (state["exitCode"], state["reason"]) == (137, "OOMKilled")


async def test_image_entry_point_and_user(node: Node) -> None:
    """Without a command the image's entry point gets the arguments, and runs as the image's user."""
    await node.pod(
        "p", "", image="registry.example/x/python:1.0", command=None, args=["-c", "import os; print(os.getuid())"]
    )
    log, _ = await node.ended("p")
    assert log == "65532\n"


async def test_environment(node: Node) -> None:
    """Variables come from literals, each other, Secrets, ConfigMaps and the pod itself."""
    secret = {"metadata": {"name": "s", "namespace": "a"}, "data": {"key": base64.b64encode(b"hidden").decode()}}
    await node.cluster.create(SECRET, secret)
    await node.cluster.create(CONFIG_MAP, {"metadata": {"name": "m", "namespace": "a"}, "data": {"X": "map"}})
    env = [
        {"name": "A", "value": "a"},
        {"name": "B", "value": "$(A)-$(NO)-$$(A)"},
        {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "key"}}},
        {"name": "D", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
        {"name": "E", "valueFrom": {"secretKeyRef": {"name": "none", "key": "key", "optional": True}}},
    ]
    script = "echo $A $B $C $D ${E-unset} $P_X $KUBERNETES_SERVICE_HOST"
    await node.pod("p", script, env=env, envFrom=[{"prefix": "P_", "configMapRef": {"name": "m"}}])
    log, _ = await node.ended("p")
    assert log.split() == ["a", "a-$(NO)-$(A)", "hidden", "a", "unset", "map", "127.0.0.1"]


async def test_volumes(node: Node) -> None:
    """Claims, Secrets, empty folders and devices are where they are mounted, with the rights that were asked for."""
    for name, mode in (("blk", "Block"), ("fs", "Filesystem")):
        spec = {"accessModes": ["ReadWriteOnce"], "volumeMode": mode, "resources": {"requests": {"storage": "1Mi"}}}
        claim = {"metadata": {"name": name, "namespace": "a"}, "spec": {**spec, "storageClassName": "sandbox-wait"}}
        await node.cluster.create(PERSISTENT_VOLUME_CLAIM, claim)
    await node.cluster.create(SECRET, {"metadata": {"name": "s", "namespace": "a"}, "stringData": {"key": "hidden"}})
    volumes: list[Object] = [
        {"name": "disk", "persistentVolumeClaim": {"claimName": "blk"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "fs"}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
    ]
    mounts = [
        {"name": "data", "mountPath": "/data"},
        {"name": "data", "mountPath": "/same", "readOnly": True},
        {"name": "secret", "mountPath": "/secret"},
        {"name": "scratch", "mountPath": "/scratch"},
    ]
    script = """
        echo payload > /dev/disk && head -c7 /dev/disk && echo
        stat -c '%U %G %a' /dev/disk | tr -d '\\n' && echo
        echo image > /data/disk.img && cat /same/disk.img
        touch /same/x || echo refused
        cat /secret/key && echo
        dd if=/dev/zero of=/scratch/x bs=1M count=2 2>/dev/null || echo full
    """
    context = {"runAsUser": 107, "runAsGroup": 107, "fsGroup": 107}
    devices = [{"name": "disk", "devicePath": "/dev/disk"}]
    await node.pod(
        "p", script, pod={"securityContext": context, "volumes": volumes}, volumeMounts=mounts, volumeDevices=devices
    )
    log, _ = await node.ended("p")
    lines = [line for line in log.split("\n") if line and not line.startswith("touch:")]
    assert lines[0] == "payload"
    assert lines[1].endswith("660") or lines[1].endswith("644")
    assert lines[2:] == ["image", "refused", "hidden", "full"]


async def test_in_cluster_access(node: Node) -> None:
    """The mounted token, CA and namespace let a process speak to the API as its service account."""
    script = """
import os, ssl, urllib.request
folder = "/var/run/secrets/kubernetes.io/serviceaccount/"
host = os.environ["KUBERNETES_SERVICE_HOST"] + ":" + os.environ["KUBERNETES_SERVICE_PORT"]
body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
headers = {"Authorization": "Bearer " + open(folder + "token").read(), "Content-Type": "application/json"}
url = f"https://{host}/apis/authentication.k8s.io/v1/selfsubjectreviews"
request = urllib.request.Request(url, data=body, headers=headers)
print(open(folder + "namespace").read())
print(urllib.request.urlopen(request, context=ssl.create_default_context(cafile=folder + "ca.crt")).read().decode())
"""
    await node.pod("p", "", image="python", command=None, args=["-c", script])
    log, _ = await node.ended("p")
    assert log.startswith("a\n")
    assert "system:serviceaccount:a:default" in log


@pytest.mark.parametrize(
    ("container", "reason", "message"),
    [
        ({"image": "nobody/knows:1"}, "ErrImagePull", "stands for no command"),
        ({"securityContext": {"runAsNonRoot": True}}, "CreateContainerConfigError", "image will run as root"),
        (
            {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k"}}}]},
            "CreateContainerConfigError",
            'secret "none" not found',
        ),
    ],
)
async def test_containers_that_cannot_start(node: Node, container: Object, reason: str, message: str) -> None:
    """A container that lacks something waits and says what it lacks."""
    await node.pod("p", "true", **container)

    def waits(obj: Object | None) -> bool:
        states = [item["state"] for item in ((obj or {}).get("status") or {}).get("containerStatuses") or []]
        return any(state.get("waiting", {}).get("reason") == reason for state in states)

    pod = await wait_until(node.cluster, POD, "p", "a", reached=waits, timeout_seconds=180)
    assert pod is not None
    assert message in pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"]


async def test_a_command_that_does_not_exist(node: Node) -> None:
    """A command that cannot be executed ends the container with 128 and the reason StartError."""
    await node.pod("p", "", command=["no-such-command"])
    pod = await node.phase("p", "Failed")
    state = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (state["exitCode"], state["reason"]) == (128, "StartError")
    assert state["message"] == 'exec: "no-such-command": executable file not found in $PATH'


async def test_restarts(node: Node) -> None:
    """With OnFailure a container is started until it succeeds, and the log of the start before can be read."""
    counting = "n=$(cat /d/n 2>/dev/null || echo 0); echo start $n; echo $((n+1)) > /d/n; test $n -ge 2"
    spec = {"restartPolicy": "OnFailure", "volumes": [{"name": "d", "emptyDir": {}}]}
    await node.pod("p", counting, pod=spec, volumeMounts=[{"name": "d", "mountPath": "/d"}])
    pod = await node.phase("p", "Succeeded")
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 2
    assert await node.log("p") == "start 2\n"
    assert await node.log("p", previous="true") == "start 1\n"


async def test_init_containers(node: Node) -> None:
    """Init containers run first, one after the other; a failed one fails the pod."""
    first = {"name": "i", "image": "shell", "command": ["sh", "-c", "exit 4"]}
    await node.pod("p", "echo never", pod={"initContainers": [first]})
    pod = await node.phase("p", "Failed")
    assert pod["status"]["initContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert "waiting" in pod["status"]["containerStatuses"][0]["state"]


async def test_graceful_end(node: Node) -> None:
    """Deleting a pod sends SIGTERM, waits, and removes the pod with everything that it had on the machine."""
    script = "trap 'echo going; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    await node.pod("p", script)
    pod = await node.phase("p", "Running")
    folder = node.settings.folder / "pods" / pod["metadata"]["uid"]
    assert folder.exists()
    await node.cluster.delete(POD, "p", "a")
    await wait_until_gone(node.cluster, POD, "p", "a", timeout_seconds=180)


async def test_ungraceful_end(node: Node) -> None:
    """A process that ignores SIGTERM is killed when its grace period is over."""
    await node.pod("p", "trap '' TERM; while :; do sleep 0.05; done", pod={"terminationGracePeriodSeconds": 1})
    await node.phase("p", "Running")
    await node.cluster.delete(POD, "p", "a")
    await wait_until_gone(node.cluster, POD, "p", "a", timeout_seconds=180)


async def test_log_queries(node: Node) -> None:
    """Logs can be cut, dated and followed."""
    await node.pod("p", "for n in 1 2 3; do echo line $n; done; sleep 0.5; echo end")
    await node.phase("p", "Running")
    assert await node.log("p", follow="true") == "line 1\nline 2\nline 3\nend\n"
    assert await node.log("p", tailLines="2") == "line 3\nend\n"
    assert await node.log("p", limitBytes="6") == "line 1"
    assert (await node.log("p", timestamps="true")).split()[0].endswith("Z")


async def test_unschedulable(node: Node) -> None:
    """A pod whose claim is missing waits, says so, and goes on when the claim appears."""
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "late"}}]
    mounts = [{"name": "v", "mountPath": "/v"}]
    await node.pod("p", "ls -d /v", pod={"volumes": volumes}, volumeMounts=mounts)

    def refused(obj: Object | None) -> bool:
        found = ((obj or {}).get("status") or {}).get("conditions") or []
        return any("persistentvolumeclaim" in item.get("message", "") for item in found)

    pod = await wait_until(node.cluster, POD, "p", "a", reached=refused, timeout_seconds=180)
    assert pod is not None
    condition = pod["status"]["conditions"][0]
    assert condition["reason"] == "Unschedulable"
    assert condition["message"].startswith('0/1 nodes are available: persistentvolumeclaim "late" not found')
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}}
    await node.cluster.create(PERSISTENT_VOLUME_CLAIM, {"metadata": {"name": "late", "namespace": "a"}, "spec": spec})
    log, _ = await node.ended("p")
    assert log == "/v\n"
