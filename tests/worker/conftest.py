"""Runs of the worker as Jobs start it: a folder with the run and its secrets, a process, a report, lines."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel

from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.repository import Repository
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store
from safehold.envelope import new_key
from safehold.report import REPORT_LIMIT_BYTES, RunReport
from safehold.run import (
    CREDENTIALS_FILE,
    ENVELOPE_FILE,
    KEY_FILE,
    RUN_FILE,
    BackupRun,
    Capture,
    ForgetRun,
    Owner,
    RepositoryPlace,
    RestoreRun,
    TargetRun,
    VolumeSource,
    VolumeToBackUp,
    VolumeToRestore,
)
from sandbox.objectstore.server import ObjectStore


@dataclass(frozen=True)
class Ended:
    """What a worker left."""

    code: int
    report: RunReport
    lines: list[dict[str, object]]
    stderr: str


@dataclass
class Jobs:
    """Makes runs of one VM against one repository and carries them out in processes."""

    folder: Path
    store: ObjectStore
    bucket: str
    profile: str
    prefix: str
    key: RepositoryKey = field(default_factory=RepositoryKey.generate)
    envelope_key: bytes = field(default_factory=new_key)
    allow_local: bool = True

    def place(self) -> RepositoryPlace:
        """The repository, as a run names it."""
        return RepositoryPlace(
            bucket=self.bucket,
            prefix=self.prefix,
            endpoint_url=self.store.endpoint_url,
            allow_local_endpoint=self.allow_local,
        )

    def repository(self) -> Repository:
        """The repository that runs have laid out."""
        return Repository.open(store_of(self), self.key, create=False)

    def owner(self, vm_uid: str = "vm-uid") -> Owner:
        """The owner of the VM's points."""
        return Owner(cluster="cluster", namespace_uid="ns-uid", vm_uid=vm_uid, namespace="shop", vm="db")

    def backup(self, run_id: str, **disks: Path) -> BackupRun:
        """A run over these disks."""
        source = VolumeSource(pvc_uid="pvc", volume_handle="h", driver="d", capacity_bytes=1 << 30)
        capture = Capture(
            time=datetime(2026, 11, 22, tzinfo=UTC),
            consistency="Filesystem",
            indications=["GuestAgent"],
            snapshot_uid="snapshot",
        )
        return BackupRun(
            run_id=run_id,
            owner=self.owner(),
            repository=self.place(),
            key_domain="namespace/ns-uid",
            capture=capture,
            volumes=[
                VolumeToBackUp(name=n, path=str(p), mode="Filesystem", source=source, claim={"name": f"claim-{n}"})
                for n, p in disks.items()
            ],
            machine=[{"kind": "VirtualMachine", "spec": {"secret": "swordfish"}}],
        )

    def restore(self, run_id: str, point: str, *, owner: Owner | None = None, **disks: Path) -> RestoreRun:
        """A run that fills these disks, of 100 MB at most."""
        return RestoreRun(
            run_id=run_id,
            repository=self.place(),
            key_domain="namespace/ns-uid",
            restore_point=point,
            owner=owner or self.owner(),
            volumes=[
                VolumeToRestore(name=n, path=str(p), mode="Filesystem", size_bytes=100_000_000)
                for n, p in disks.items()
            ],
        )

    def target(self, access_mode: str = "ReadWrite") -> TargetRun:
        """A check of the repository."""
        return TargetRun.model_validate(
            {"run_id": "check", "repository": self.place().model_dump(), "access_mode": access_mode}
        )

    def forget(self, point: str | None, *, owner: Owner | None = None, run_id: str = "forget") -> ForgetRun:
        """A run that takes the point out of the catalogue; None: that of the backup with this run id."""
        return ForgetRun(
            run_id=run_id,
            repository=self.place(),
            key_domain="namespace/ns-uid",
            restore_point=point,
            owner=owner or self.owner(),
        )

    def start(
        self, run: BaseModel, verb: str | None = None, *, run_file: bytes | None = None
    ) -> "subprocess.Popen[str]":
        """Start the worker, with its files in `folder`; `run_file` is written in the run's place."""
        run_folder = self.folder / "run"
        run_folder.mkdir(exist_ok=True)
        files = {
            RUN_FILE: run.model_dump_json().encode() if run_file is None else run_file,
            KEY_FILE: self.key.text().encode(),
            CREDENTIALS_FILE: self.profile.encode(),
            ENVELOPE_FILE: self.envelope_key,
        }
        for name, content in files.items():
            (run_folder / name).write_bytes(content)
        self.termination_log.unlink(missing_ok=True)
        variables = {"SAFEHOLD_RUN_FOLDER": str(run_folder), "SAFEHOLD_TERMINATION_LOG": str(self.termination_log)}
        return subprocess.Popen(
            [sys.executable, "-m", "safehold", "worker", verb or str(getattr(run, "verb", ""))],
            env={name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, process: "subprocess.Popen[str]") -> Ended:
        """Wait for the worker and read what it left; no secret may be in any of it."""
        stdout, stderr = process.communicate(timeout=120)
        message = self.termination_log.read_text()
        assert len(message.encode()) < REPORT_LIMIT_BYTES
        for secret in (self.key.text().strip().partition(":")[2], self.profile.split()[-1], "swordfish"):
            assert secret not in stdout + stderr + message
        lines = [json.loads(line) for line in stdout.splitlines()]
        return Ended(process.returncode, RunReport.model_validate_json(message), lines, stderr)

    def run(self, run: BaseModel, verb: str | None = None, *, run_file: bytes | None = None) -> Ended:
        """Start the worker and wait for its end."""
        return self.end(self.start(run, verb, run_file=run_file))

    @property
    def termination_log(self) -> Path:
        """Where the kubelet would look."""
        return self.folder / "termination-log"


def store_of(jobs: Jobs) -> S3Store:
    """The repository's objects."""
    profile = jobs.folder / "profile"
    profile.write_text(jobs.profile)
    return S3Store(
        S3Place(bucket=jobs.bucket, prefix=jobs.prefix, endpoint_url=jobs.store.endpoint_url, credentials_file=profile)
    )


@pytest.fixture
def jobs(tmp_path: Path, object_store: ObjectStore) -> Jobs:
    """Jobs against a new repository."""
    object_store.create_bucket("worker")
    return Jobs(tmp_path, object_store, "worker", object_store.admin.profile(), tmp_path.name)


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """A disk of 40 MB with some data and holes."""
    path = tmp_path / "disk.img"
    with path.open("wb") as file:
        file.write(os.urandom(3_000_000))
        file.seek(20_000_000)
        file.write(b"text " * 500_000)
        file.truncate(40_000_000)
    return path
