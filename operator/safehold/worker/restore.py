"""The verb `restore`: fill volumes from a restore point, read them back, recall the VM's manifest."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from safehold.engine.disks.comparing import ReportBytes, volume_of
from safehold.engine.points.manifest import Manifest, Owner, StoredVolume
from safehold.engine.repository import Domain
from safehold.engine.restore import Restored, complete, fill
from safehold.envelope import seal_machine
from safehold.errors import IntegrityError, VolumeError
from safehold.reasons import Reason
from safehold.report import RunReport, VolumeReport
from safehold.run import RestoreRun, VolumeToRestore
from safehold.worker.cloned_folder import leave_disk
from safehold.worker.folder import RunFolder
from safehold.worker.lines import ProgressLines, VolumeByVolume, write_line
from safehold.worker.machine_state import unpack_state
from safehold.worker.report import success


def restore_run(folder: RunFolder, stop: threading.Event) -> RunReport:
    """Carry out the folder's RestoreRun. Nothing is written before the point's owner and all sizes are known to fit."""
    run = folder.read(RestoreRun)
    envelope_key = folder.envelope_key()
    repository = folder.repository(run.repository)
    domain = repository.domain(run.key_domain, create=False)
    manifest = domain.points.read_owned(run.restore_point, Owner(**run.owner.model_dump()))
    wanted = [(volume, _fitting(manifest, volume)) for volume in run.volumes]
    machine = domain.points.read_machine(manifest)
    progress = VolumeByVolume(ProgressLines(run.run_id), sum(stored.size_bytes for _, stored in wanted))
    reports = []
    for volume, stored in wanted:
        started = monotonic()
        progress.begin(volume.name, stored.size_bytes)
        fill_volume = _fill_state if volume.role == "State" else _fill
        with _naming(volume):
            restored = fill_volume(domain, manifest, volume, stop, progress.advance)
        reports.append(
            VolumeReport(
                name=volume.name,
                bytes_total=stored.size_bytes,
                bytes_fetched=restored.bytes_fetched,
                seconds=round(monotonic() - started, 3),
            )
        )
    for line in seal_machine(machine, envelope_key, run.run_id):
        write_line(line)
    return success(
        run,
        f"restored and verified {len(reports)} volumes of {manifest.point}",
        restore_point=manifest.point,
        repository_id=repository.id,
        volumes=reports,
    )


@contextmanager
def _naming(volume: VolumeToRestore) -> Iterator[None]:
    """An object of the repository says nothing to people about which of their disks is damaged."""
    try:
        yield
    except IntegrityError as problem:
        problem.what = f"Volume {volume.name} cannot be restored: {problem.what}"
        raise


def _fitting(manifest: Manifest, volume: VolumeToRestore) -> StoredVolume:
    stored = volume_of(manifest, volume.name)
    if volume.size_bytes < stored.size_bytes:
        raise VolumeError(
            f"The new volume {volume.name} is too small",
            expected=f"{stored.size_bytes} bytes or more",
            found=volume.size_bytes,
            reason=Reason.VOLUME_MISMATCH,
        )
    return stored


def _fill(
    domain: Domain, manifest: Manifest, volume: VolumeToRestore, stop: threading.Event, progress: ReportBytes
) -> Restored:
    in_place, path = volume.mode == "Block", Path(volume.path)
    can_be_completed = volume.delta and (in_place or leave_disk(path))
    if not can_be_completed:
        return fill(domain, manifest, volume.name, path, stop=stop, progress=progress, in_place=in_place)
    # Read back as well: what differed was written, and a cache that loses writes would not show in the comparison.
    return complete(
        domain, manifest, volume.name, path, stop=stop, progress=progress, in_place=in_place, read_back=True
    )


def _fill_state(
    domain: Domain, manifest: Manifest, volume: VolumeToRestore, stop: threading.Event, progress: ReportBytes
) -> Restored:
    with TemporaryDirectory() as scratch:
        archive = Path(scratch) / "state.tar"
        restored = fill(domain, manifest, volume.name, archive, stop=stop, progress=progress)
        renamed = (manifest.owner.vm, volume.vm) if volume.vm else None
        unpack_state(archive, Path(volume.path), renamed=renamed)
    return restored
