"""Volume snapshots of our own on the storage stand-in: made once, seen like KubeVirt's, trusted, and removed."""

import pytest
import yaml
from tests.controller.conftest import DEFINITION, served
from tests.kube.backup.test_pairs import OPERATOR, TENANT, Bench, bench, until

from gen_crds import CRDS
from safehold.api import VMBackup
from safehold.api.capture import SnapshotHandle
from safehold.api.fallback import FallbackCapture, FallbackVolume
from safehold.kube.backup.fallback import observe_fallback, observe_own_capture
from safehold.kube.backup.leftovers import observe_leftovers
from safehold.kube.kinds import STORAGE_PROFILE, VM_BACKUP, VOLUME_SNAPSHOT
from safehold.plan.backup.capture_facts import CaptureFacts, SnapshotFacts
from safehold.plan.backup.cleanup import cleanup
from safehold.plan.backup.facts import DiskFacts, MachineFacts
from safehold.plan.backup.steps import NewVolumeSnapshot, TakeVolumeSnapshots
from safehold.plan.backup.trust import refuse_swapped, trusted_handle
from safehold.plan.names import OWNER_UID, own_snapshot_name, owner_labels

__all__ = ["bench"]
MACHINE = MachineFacts(
    name="db",
    uid="vm-uid",
    disks=(
        DiskFacts(name="root", claim="data", snapshottable=True),
        DiskFacts(name="gone", claim="absent", snapshottable=True),
    ),
)


async def created(bench: Bench) -> VMBackup:
    """A VMBackup whose capture falls back: the garbage collector wants its snapshots' owner to exist."""
    await bench.cluster.create(DEFINITION, yaml.safe_load((CRDS / "safehold.dev_vmbackups.yaml").read_text()))
    await served(bench.cluster, VM_BACKUP)
    spec = {"vm": {"name": "db"}, "targetRef": {"kind": "ClusterBackupTarget", "name": "primary"}}
    manifest = {"metadata": {"name": "db-1", "namespace": TENANT}, "spec": spec}
    backup = VMBackup.model_validate(await bench.cluster.create(VM_BACKUP, manifest))
    facts = await observe_fallback(bench.cluster, TENANT, MACHINE, groups_enabled=False)
    claim = facts.claims["root"]
    assert claim is not None
    volume = FallbackVolume(name="root", claim_name=claim.name, claim_uid=claim.uid, class_name=facts.classes[0].name)
    start = backup.metadata.creation_timestamp
    assert start is not None
    fallback = FallbackCapture(reason="deadline", start_time=start, volumes=[volume])
    status = backup.status.model_copy(update={"fallback": fallback, "vm_uid": "vm-uid"})
    return backup.model_copy(update={"status": status})


def taking(backup: VMBackup) -> TakeVolumeSnapshots:
    """The step that makes what is recorded."""
    assert backup.status.fallback is not None
    uid = backup.metadata.uid
    return TakeVolumeSnapshots(
        namespace=TENANT,
        backup=backup.metadata.name,
        backup_uid=uid,
        snapshots=tuple(
            NewVolumeSnapshot(
                name=own_snapshot_name(uid, volume.name), claim=volume.claim_name, class_name=volume.class_name
            )
            for volume in backup.status.fallback.volumes
        ),
        labels=owner_labels("VMBackup", uid, name=backup.metadata.name, namespace=TENANT, vm="db"),
    )


async def seen(bench: Bench, backup: VMBackup) -> tuple[SnapshotFacts, CaptureFacts]:
    """Our capture as it is now."""
    assert backup.status.fallback is not None
    found = await observe_own_capture(bench.cluster, backup, backup.status.fallback)
    assert found.capture is not None
    return found, found.capture


async def ready(bench: Bench, backup: VMBackup) -> CaptureFacts:
    """Our capture once it can be read."""

    async def readable() -> CaptureFacts | None:
        found, captured = await seen(bench, backup)
        return captured if found.ready and found.succeeded else None

    return await until(readable)


async def test_what_a_fallback_could_be_made_of_is_seen(bench: Bench) -> None:
    """Claims by the VM's names of its volumes, absent ones included, and the classes with their drivers."""
    facts = await observe_fallback(bench.cluster, TENANT, MACHINE, groups_enabled=False)
    found = facts.claims["root"]
    assert found is not None
    assert (found.name, facts.claims["gone"]) == ("data", None)
    assert [item.driver for item in facts.classes if item.default] == [found.driver]


async def test_the_class_that_cdi_prefers_is_seen(bench: Bench) -> None:
    """By the StorageClass of the VM's claims."""
    profile = {"metadata": {"name": "sandbox"}, "spec": {"snapshotClass": "special"}}
    await bench.cluster.create(STORAGE_PROFILE, profile)
    facts = await observe_fallback(bench.cluster, TENANT, MACHINE, groups_enabled=False)
    assert facts.preferred_classes == {"sandbox": "special"}


async def test_our_snapshot_is_trusted_and_tells_when_it_was_cut(bench: Bench) -> None:
    """The same checks as for KubeVirt's hold; asked for twice it is cut once."""
    backup = await created(bench)
    before, captured = await seen(bench, backup)
    assert (before.succeeded, before.ready, captured.volumes[0].snapshot) == (False, False, None)
    cuts = await bench.snapshots_on_disk()
    for _ in range(2):
        await bench.hands.carry_out(taking(backup))
    captured = await ready(bench, backup)
    assert refuse_swapped(captured, cut=True) is None
    (volume,) = captured.volumes
    uid = backup.metadata.uid
    handle = trusted_handle(volume, capture_uid=captured.uid, namespace=TENANT, backup_uid=uid)
    assert isinstance(handle, SnapshotHandle), handle
    assert volume.content is not None
    assert captured.cut_time == volume.content.cut_at is not None
    assert await bench.snapshots_on_disk() == cuts + 1


async def test_a_snapshot_that_a_tenant_made_under_our_name_is_not_ours(bench: Bench) -> None:
    """Its labels may say so, its owner does not."""
    backup = await created(bench)
    step = taking(backup)
    forged = {
        "metadata": {"name": step.snapshots[0].name, "namespace": TENANT, "labels": dict(step.labels)},
        "spec": {"source": {"persistentVolumeClaimName": "data"}},
    }
    await bench.cluster.create(VOLUME_SNAPSHOT, forged)
    await bench.hands.carry_out(step)
    captured = await ready(bench, backup)
    assert refuse_swapped(captured, cut=True) is not None


@pytest.mark.parametrize("namespace", [TENANT, None])
async def test_our_snapshot_is_found_by_its_labels_and_goes(bench: Bench, namespace: str | None) -> None:
    """Of a run that is there, and by the sweep in all namespaces; the physical snapshot goes with it."""
    backup = await created(bench)
    cuts = await bench.snapshots_on_disk()
    await bench.hands.carry_out(taking(backup))
    await ready(bench, backup)
    uid = backup.metadata.uid

    async def nothing() -> bool:
        found = await observe_leftovers(bench.cluster, uid, operator_namespace=OPERATOR, namespace=namespace)
        for step in cleanup(found):
            await bench.hands.carry_out(step)
        return found.tenant_snapshots == ()

    await until(nothing)

    async def gone() -> bool:
        return await bench.snapshots_on_disk() == cuts

    await until(gone)


async def test_our_snapshot_goes_with_its_vmbackup(bench: Bench) -> None:
    """Also where no controller is left to clean up: the garbage collector knows its owner."""
    backup = await created(bench)
    await bench.hands.carry_out(taking(backup))
    await ready(bench, backup)
    await bench.cluster.delete(VM_BACKUP, backup.metadata.name, TENANT)

    async def gone() -> bool:
        return not await bench.cluster.list(VOLUME_SNAPSHOT, TENANT, labels={OWNER_UID: backup.metadata.uid})

    await until(gone)
