"""What a pull makes in the VM's namespace, against an API server."""

import pytest

from safehold.errors import ConflictError, NotFoundError
from safehold.kube.backup.freezes import FreezeWatches
from safehold.kube.backup.pull.hands import commit_checkpoint, read_token, start_pull
from safehold.kube.backup.pull.observer import list_pull_backups
from safehold.kube.backup.pull.wording import tracker_facts
from safehold.kube.client import Cluster
from safehold.kube.kinds import CLAIM, SECRET, VM, VM_PULL_BACKUP, VM_TRACKER
from safehold.plan.backup.pull.steps import CommitCheckpoint, StartPull
from safehold.plan.names import OWNER_UID, children_of, owner_labels


@pytest.fixture
async def step(cluster: Cluster, namespace: str) -> StartPull:
    """A pull of VM db, which exists."""
    spec = {"runStrategy": "Halted", "template": {"spec": {"domain": {"devices": {}}}}}
    vm = await cluster.create(VM, {"metadata": {"name": "db", "namespace": namespace}, "spec": spec})
    return StartPull(
        namespace=namespace,
        name="safehold-db-1-abc",
        vm="db",
        vm_uid=vm["metadata"]["uid"],
        tracker="safehold-db-def",
        force_full=True,
        scratch_bytes=3 << 30,
        scratch_storage_class="fast",
        ttl_seconds=3600,
        watch_seconds=1,
        labels=owner_labels("VMBackup", f"{namespace}-uid", name="db-1", namespace=namespace, vm="db"),
    )


async def test_pull_is_asked_for_once(cluster: Cluster, step: StartPull) -> None:
    """Twice is once; scratch owns the token, the VM the tracker, and the backup carries the run's labels."""
    for _ in range(2):
        await start_pull(cluster, FreezeWatches(cluster), step)
    backup = await cluster.read(VM_PULL_BACKUP, step.name, step.namespace)
    assert backup["spec"] == {
        "source": {"apiGroup": "backup.kubevirt.io", "kind": "VirtualMachineBackupTracker", "name": step.tracker},
        "mode": "Pull",
        "pvcName": step.name,
        "tokenSecretRef": step.name,
        "ttlDuration": "3600s",
        "forceFullBackup": True,
    }
    scratch = await cluster.read(CLAIM, step.name, step.namespace)
    assert (scratch["spec"]["volumeMode"], scratch["spec"]["storageClassName"]) == ("Filesystem", "fast")
    token = await cluster.read(SECRET, step.name, step.namespace)
    assert token["metadata"]["ownerReferences"][0]["uid"] == scratch["metadata"]["uid"]
    tracker = await cluster.read(VM_TRACKER, step.tracker, step.namespace)
    assert tracker["metadata"]["ownerReferences"][0]["uid"] == step.vm_uid
    assert len(await read_token(cluster, step.namespace, step.name)) >= 32
    left = await list_pull_backups(cluster, None, children_of(f"{step.namespace}-uid"))
    assert [found["metadata"]["uid"] for found in left] == [backup["metadata"]["uid"]]
    assert scratch["metadata"]["labels"][OWNER_UID] == f"{step.namespace}-uid"


async def test_token_that_somebody_took_away_is_missed(cluster: Cluster, step: StartPull) -> None:
    """It is never made up anew: KubeVirt has read the first one."""
    await start_pull(cluster, FreezeWatches(cluster), step)
    await cluster.delete(SECRET, step.name, step.namespace)
    with pytest.raises(NotFoundError):
        await read_token(cluster, step.namespace, step.name)


async def test_checkpoint_is_written_on_that_very_tracker(cluster: Cluster, step: StartPull) -> None:
    """One that was made anew under the name gets nothing."""
    await start_pull(cluster, FreezeWatches(cluster), step)
    uid = (await cluster.read(VM_TRACKER, step.tracker, step.namespace))["metadata"]["uid"]
    commit = CommitCheckpoint(
        namespace=step.namespace, tracker=step.tracker, tracker_uid=uid, checkpoint="c-1", instance_uid="vmi"
    )
    await commit_checkpoint(cluster, commit)
    told = tracker_facts(await cluster.read(VM_TRACKER, step.tracker, step.namespace))
    assert (told.committed, told.committed_instance) == ("c-1", "vmi")
    await cluster.delete(VM_TRACKER, step.tracker, step.namespace)
    await start_pull(cluster, FreezeWatches(cluster), step)
    with pytest.raises(ConflictError):
        await commit_checkpoint(cluster, commit)
