"""The verb `describe`: what one restore point holds, from its sealed manifest."""

import threading
from collections.abc import Iterator

from safehold.description import DescribedVolume, DescribeRun, PointDescription, SoughtVM
from safehold.engine.maintenance.manifests import read_manifests
from safehold.engine.names import PointName
from safehold.engine.points.catalogue import Points
from safehold.engine.points.manifest import Manifest, Owner, StoredVolume
from safehold.engine.repository import Domain, Repository
from safehold.envelope import seal_machine
from safehold.errors import PointError, StoreError, UsageError
from safehold.reasons import Reason
from safehold.report import RunReport
from safehold.run import Owner as RunOwner
from safehold.worker.folder import RunFolder
from safehold.worker.lines import write_line
from safehold.worker.report import success


def describe_run(folder: RunFolder, _stop: threading.Event) -> RunReport:
    """Carry out the folder's DescribeRun. The answer goes into the envelope: it holds the VM's manifest."""
    run = folder.read(DescribeRun)
    envelope_key = folder.envelope_key()
    repository = folder.repository(run.repository)
    if run.repository_id not in (None, repository.id):
        raise StoreError(
            "The place holds another repository than the one of the restore point",
            expected=run.repository_id,
            found=repository.id,
            reason=Reason.REPOSITORY_CHANGED,
        )
    domain, manifest = _find(repository, run)
    answer = _description(repository.id, domain.name, manifest).model_dump(mode="json")
    for line in seal_machine([answer, *domain.points.read_machine(manifest)], envelope_key, run.run_id):
        write_line(line)
    return success(
        run,
        f"described the restore point {manifest.point}",
        restore_point=manifest.point,
        repository_id=repository.id,
    )


def _find(repository: Repository, run: DescribeRun) -> tuple[Domain, Manifest]:
    names = [run.key_domain] if run.key_domain else repository.domains()
    if run.point is not None:
        return _of_id(repository, names, run.point)
    if run.vm is None or len(names) != 1:
        raise UsageError("The run names neither a restore point, nor a VM and its key domain")
    domain = repository.domain(names[0], create=False)
    return domain, _latest(domain.points, run.vm)


def _of_id(repository: Repository, names: list[str], point: str) -> tuple[Domain, Manifest]:
    """The ids are random, so that no two key domains hold the same one."""
    name = PointName.of_id(point)
    for candidate in names:
        try:
            domain = repository.domain(candidate, create=False)
            return domain, domain.points.read(name)
        except PointError:
            continue
    raise PointError(
        f"The restore point {point} is not in the repository",
        remedy="it was forgotten, or lies in another bucket; `safehold repo points` lists those that are there",
    )


def _latest(points: Points, vm: SoughtVM) -> Manifest:
    """The newest point that fits; where verified ones are only preferred, and there is none, the newest of all."""
    newest: Manifest | None = None
    for manifest in _of_vm(points, vm):
        if vm.before is not None and manifest.time > vm.before:
            continue
        if vm.verified is None or manifest.verified:
            return manifest
        newest = newest or manifest
    if newest is not None and vm.verified == "Prefer":
        return newest
    kind = "verified restore point" if vm.verified == "Require" else "restore point"
    when = f" from before {vm.before:%FT%TZ}" if vm.before else ""
    raise PointError(f"VM {vm.name} has no {kind}{when} in the repository", remedy="choose another time or target")


def _of_vm(points: Points, vm: SoughtVM) -> Iterator[Manifest]:
    """The VM's points, newest first. Without its uid, all manifests of the key domain are read to find it."""
    if vm.uid is None:
        yield from _of_last_vm(points, vm)
        return
    owner = Owner(cluster=vm.cluster, namespace_uid=vm.namespace_uid, vm_uid=vm.uid, namespace="", vm=vm.name)
    for name in points.names(owner):
        try:
            manifest = points.read(name)
        except PointError:  # forgotten since it was listed
            continue
        if manifest.owner.identity == owner.identity:
            yield manifest


def _of_last_vm(points: Points, vm: SoughtVM) -> list[Manifest]:
    found = [manifest for _, manifest in read_manifests(points) if isinstance(manifest, Manifest)]
    of_name = [manifest for manifest in found if _is_of(manifest.owner, vm)]
    of_name.sort(key=lambda manifest: (manifest.time, manifest.sequence), reverse=True)
    return [manifest for manifest in of_name if manifest.owner.vm_uid == of_name[0].owner.vm_uid]


def _is_of(owner: Owner, vm: SoughtVM) -> bool:
    return (owner.cluster, owner.namespace_uid, owner.vm) == (vm.cluster, vm.namespace_uid, vm.name)


def _description(repository_id: str, key_domain: str, manifest: Manifest) -> PointDescription:
    return PointDescription(
        point=manifest.point,
        repository_id=repository_id,
        key_domain=key_domain,
        captured=manifest.time,
        consistency=manifest.capture.consistency if manifest.capture else None,
        verified=manifest.verified,
        owner=RunOwner(**manifest.owner.model_dump()),
        volumes=[_volume(volume) for volume in manifest.volumes],
        excluded=manifest.capture.excluded if manifest.capture else [],
    )


def _volume(volume: StoredVolume) -> DescribedVolume:
    """A plain disk that the command line backed up had no claim: its own size stands for the capacity."""
    claim = volume.claim
    capacity, modes, name, storage_class = (
        claim.get(key) for key in ("capacity", "accessModes", "name", "storageClassName")
    )
    return DescribedVolume(
        name=volume.name,
        role=volume.role,
        mode=volume.mode,
        disk_bytes=volume.size_bytes,
        capacity_bytes=capacity if isinstance(capacity, int) else volume.size_bytes,
        claim=str(name) if name else None,
        storage_class=str(storage_class) if storage_class else None,
        access_modes=[str(mode) for mode in modes] if isinstance(modes, list) else [],
    )
