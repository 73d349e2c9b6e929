"""The verb `backup`: all volumes of a VM become one restore point."""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from safehold.engine.backup.request import BackupRequest, VolumeInput
from safehold.engine.backup.run import back_up
from safehold.engine.points.manifest import BaseIdentity, Capture, Manifest, Owner
from safehold.report import Engine, RunReport, VolumeReport
from safehold.run import BackupRun, CsiChanges, KubeVirtChanges, VolumeToBackUp
from safehold.worker.changes import csi_source, kubevirt_source
from safehold.worker.folder import RunFolder
from safehold.worker.lines import ProgressLines
from safehold.worker.machine_state import pack_state
from safehold.worker.report import success
from safehold.worker.tenant_files import readable_volumes


def back_up_run(folder: RunFolder, stop: threading.Event) -> RunReport:
    """Carry out the folder's BackupRun; a run that is repeated reports the point that it has made already."""
    run = folder.read(BackupRun)
    repository = folder.repository(run.repository, create=True)
    domain = repository.domain(run.key_domain, create=True)
    with TemporaryDirectory() as scratch:
        request = BackupRequest(
            run_id=run.run_id,
            policy=run.policy,
            policy_name=run.policy_name,
            tier=run.tier,
            owner=Owner(**run.owner.model_dump()),
            volumes=[_input(volume, folder.path, Path(scratch)) for volume in readable_volumes(run.volumes)],
            capture=Capture(**run.capture.model_dump()),
            machine=run.machine,
        )
        manifest = back_up(domain, request, stop=stop, progress=ProgressLines(run.run_id).report)
    return _report(run, manifest, repository.id)


def _input(volume: VolumeToBackUp, folder: Path, scratch: Path) -> VolumeInput:
    pulled = kubevirt_source(volume.changes, folder) if isinstance(volume.changes, KubeVirtChanges) else None
    path = Path(volume.path) if volume.path else None
    if volume.role == "State" and path is not None:
        archive = scratch / f"{volume.name}.tar"
        pack_state(path, archive)
        path = archive
    return VolumeInput(
        name=volume.name,
        path=path,
        mode=volume.mode,
        role=volume.role,
        claim=volume.claim,
        source=BaseIdentity(**volume.source.model_dump()),
        checkpoint=volume.checkpoint,
        remote=pulled.disk if pulled else None,
        changes=csi_source(volume.changes) if isinstance(volume.changes, CsiChanges) else pulled,
        scan_reason=volume.scan_reason,
        may_scan=volume.may_scan,
        verify=volume.verify,
    )


def _report(run: BackupRun, manifest: Manifest, repository_id: str) -> RunReport:
    return success(
        run,
        f"committed the restore point {manifest.point}",
        restore_point=manifest.point,
        parent=manifest.parent,
        repository_id=repository_id,
        volumes=[
            VolumeReport(
                name=volume.name,
                engine=Engine(volume.engine),
                engine_reason=volume.engine_reason,
                verified=volume.verified,
                mismatched_bytes=volume.mismatched_bytes,
                **volume.statistics.model_dump(),
            )
            for volume in manifest.volumes
        ],
    )
