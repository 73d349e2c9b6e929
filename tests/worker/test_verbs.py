"""The worker's verbs, each as a process against a real S3 server."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.worker.conftest import store_of

from safehold.envelope import open_machine
from safehold.reasons import Reason
from safehold.report import EXIT_FAILED, EXIT_REFUSED, SealedMachine

if TYPE_CHECKING:
    from tests.worker.conftest import Jobs


def test_a_vm_is_backed_up_and_restored(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """One point of two volumes; back come the same disks and, in an envelope, the VM's manifest."""
    second = tmp_path / "second.img"
    second.write_bytes(os.urandom(700_001))
    made = jobs.run(jobs.backup("run-1", root=disk, data=second))
    assert (made.code, made.report.reason) == (0, Reason.SUCCEEDED)
    assert made.report.run_id == "run-1"
    assert made.report.parent is None
    assert [(v.name, v.bytes_total) for v in made.report.volumes] == [("root", 40_000_000), ("data", 700_001)]
    assert made.lines[-1] == {
        "kind": "progress",
        "run_id": "run-1",
        "bytes_done": 40_700_001,
        "bytes_total": 40_700_001,
        "seconds": made.lines[-1]["seconds"],
        "volume": None,
    }
    point = made.report.restore_point
    assert point is not None
    new = {"root": tmp_path / "new-root", "data": tmp_path / "new-data"}
    restored = jobs.run(jobs.restore("run-2", point, root=new["root"], data=new["data"]))
    assert (restored.code, restored.report.reason) == (0, Reason.SUCCEEDED)
    assert restored.report.repository_id == made.report.repository_id
    assert new["root"].read_bytes() == disk.read_bytes()
    assert new["data"].read_bytes() == second.read_bytes()
    sealed = [SealedMachine.model_validate(line) for line in restored.lines if line["kind"] == "machine"]
    assert open_machine(sealed, jobs.envelope_key, "run-2")[0]["spec"] == {"secret": "swordfish"}


def test_the_next_run_sends_only_what_changed(jobs: Jobs, disk: Path) -> None:
    """The parent is found in the repository by its owner; the controller does not have to know it."""
    first = jobs.run(jobs.backup("run-1", root=disk)).report
    with disk.open("r+b") as file:
        file.seek(1_000_000)
        file.write(b"changed")
    second = jobs.run(jobs.backup("run-2", root=disk)).report
    assert second.parent == first.restore_point
    assert second.volumes[0].bytes_changed == 128 * 1024
    assert second.volumes[0].bytes_uploaded < 160 * 1024


def test_a_job_that_is_started_again_reports_the_same_point(jobs: Jobs, disk: Path) -> None:
    """A pod that died after its commit is no second backup."""
    first = jobs.run(jobs.backup("run-1", root=disk)).report
    again = jobs.run(jobs.backup("run-1", root=disk)).report
    assert again.restore_point == first.restore_point
    assert again.volumes == first.volumes


def test_a_stopped_worker_says_so_and_its_next_attempt_succeeds(jobs: Jobs, tmp_path: Path) -> None:
    """SIGTERM, as a drained node sends it, ends the run with a report before the grace period is over."""
    disk = tmp_path / "large.img"
    with disk.open("wb") as file:
        for _ in range(80):
            file.write(os.urandom(4_000_000))
    run = jobs.backup("run-1", root=disk)
    process = jobs.start(run)
    assert process.stdout is not None
    process.stdout.readline()  # the first progress: the scan is under way
    process.send_signal(signal.SIGTERM)
    stopped = jobs.end(process)
    assert (stopped.code, stopped.report.reason) == (EXIT_FAILED, Reason.INTERRUPTED)
    assert stopped.report.restore_point is None
    done = jobs.run(run)
    assert done.code == 0
    assert done.report.volumes[0].bytes_stored < 320_000_000


@pytest.mark.parametrize("verb", ["restore", "forget"])
def test_a_point_of_another_owner_is_refused(jobs: Jobs, disk: Path, tmp_path: Path, verb: str) -> None:
    """Whoever names a foreign point gets neither its disks, nor its manifest, nor its end."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    assert point is not None
    stranger = jobs.owner("another-uid")
    new = tmp_path / "stolen"
    run = (
        jobs.restore("run-2", point, owner=stranger, root=new)
        if verb == "restore"
        else jobs.forget(point, owner=stranger)
    )
    refused = jobs.run(run)
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, Reason.POINT_NOT_YOURS)
    assert refused.lines == []
    assert not list(tmp_path.glob("stolen*"))
    assert jobs.run(jobs.restore("run-3", point, root=new)).code == 0


def test_forgetting_succeeds_twice_and_the_point_is_gone(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """A repeated Job finds nothing left to do."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    assert point is not None
    for _ in range(2):
        assert jobs.run(jobs.forget(point)).code == 0
    gone = jobs.run(jobs.restore("run-2", point, root=tmp_path / "new"))
    assert (gone.code, gone.report.reason) == (EXIT_REFUSED, Reason.POINT_NOT_FOUND)


def test_a_point_that_is_held_in_the_repository_is_not_forgotten(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """Also where the VMBackup that is deleted with its point says nothing of a hold."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    assert point is not None
    domain = jobs.repository().domain("namespace/ns-uid", create=False)
    domain.holds.place(point, "audit 2026", datetime(2026, 11, 23, tzinfo=UTC))
    refused = jobs.run(jobs.forget(point))
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, Reason.HELD)
    assert "audit 2026" in refused.report.message
    assert jobs.run(jobs.restore("run-2", point, root=tmp_path / "new")).code == 0


def test_what_a_run_committed_is_forgotten_by_the_run(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """Where nobody was told of a point, its run names it; a run without one, and another run's point, are let be."""
    kept, lost = (jobs.run(jobs.backup(run, root=disk)).report.restore_point for run in ("run-1", "run-2"))
    assert kept is not None
    assert lost is not None
    assert [jobs.run(jobs.forget(None, run_id=run)).report.restore_point for run in ("run-2", "run-2", "run-3")] == [
        lost,
        None,
        None,
    ]
    assert jobs.run(jobs.restore("run-4", lost, root=tmp_path / "lost")).report.reason == Reason.POINT_NOT_FOUND
    assert jobs.run(jobs.restore("run-5", kept, root=tmp_path / "kept")).code == 0


def test_a_target_is_laid_out_once_and_recognised(jobs: Jobs) -> None:
    """The repository's id is the same every time, and another prefix is another repository."""
    made, again = (jobs.run(jobs.target()).report for _ in range(2))
    assert made.repository_id is not None
    assert made.repository_id == again.repository_id
    jobs.prefix += "-other"
    assert jobs.run(jobs.target()).report.repository_id != made.repository_id


def test_a_read_only_target_is_not_written(jobs: Jobs) -> None:
    """An identity that can only read serves a ReadOnly target, and none that is ReadWrite."""
    admin = jobs.profile
    reader = jobs.store.add_identity(f"reader-{jobs.prefix}", ["Read:worker", "List:worker"]).profile()
    jobs.profile = reader
    assert jobs.run(jobs.target("ReadOnly")).report.reason == Reason.REPOSITORY_NOT_FOUND
    jobs.profile = admin
    made = jobs.run(jobs.target()).report.repository_id
    jobs.profile = reader
    assert jobs.run(jobs.target("ReadOnly")).report.repository_id == made
    assert jobs.run(jobs.target("ReadWrite")).report.reason == Reason.ACCESS_DENIED


def test_another_key_is_a_wrong_key(jobs: Jobs) -> None:
    """A target with the key of another repository is refused before anything is written."""
    jobs.run(jobs.target())
    jobs.key = type(jobs.key).generate()
    refused = jobs.run(jobs.target())
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, Reason.WRONG_KEY)


def test_local_endpoints_are_refused_unless_the_operator_allows_them(jobs: Jobs) -> None:
    """A tenant's target cannot point a worker at its own node."""
    jobs.allow_local = False
    refused = jobs.run(jobs.target())
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, Reason.ENDPOINT_NOT_ALLOWED)


def test_a_volume_that_is_too_small_is_refused_before_anything_is_written(
    jobs: Jobs, disk: Path, tmp_path: Path
) -> None:
    """Sizes are compared before the first byte."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    assert point is not None
    run = jobs.restore("run-2", point, root=tmp_path / "new")
    run = run.model_copy(update={"volumes": [run.volumes[0].model_copy(update={"size_bytes": 39_999_999})]})
    refused = jobs.run(run)
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, Reason.VOLUME_MISMATCH)
    assert not list(tmp_path.glob("new*"))


def test_a_damaged_chunk_ends_the_restore_and_names_the_volume(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """Without a word about the disk, whoever has five of them would not know which one is lost."""
    made = jobs.run(jobs.backup("run-1", root=disk))
    store = store_of(jobs)
    for pack in list(store.list("packs/")):
        sealed = bytearray(store.get(pack.name))
        sealed[len(sealed) // 2] ^= 1
        store.delete(pack.name)
        store.put(pack.name, bytes(sealed))
    ended = jobs.run(jobs.restore("run-2", made.report.restore_point or "", root=tmp_path / "new"))
    assert (ended.code, ended.report.reason) == (EXIT_REFUSED, Reason.DAMAGED)
    assert "Volume root cannot be restored" in ended.report.message
    assert not (tmp_path / "new").exists()


def test_a_volume_that_was_made_from_a_snapshot_is_completed(jobs: Jobs, disk: Path, tmp_path: Path) -> None:
    """With `delta` only what differs is fetched, from an older copy; the volume is the point in the end."""
    point = jobs.run(jobs.backup("run-1", root=disk)).report.restore_point
    assert point is not None
    copy = tmp_path / "copy"
    copy.write_bytes(disk.read_bytes())
    with copy.open("r+b") as file:
        file.seek(5_000_000)
        file.write(b"what the guest wrote since")
    full = jobs.run(jobs.restore("run-2", point, root=tmp_path / "new")).report.volumes[0]
    run = jobs.restore("run-3", point, root=copy)
    changes = {"delta": True, "mode": "Block"}
    run = run.model_copy(update={"volumes": [run.volumes[0].model_copy(update=changes)]})
    completed = jobs.run(run)
    assert (completed.code, completed.report.reason) == (0, Reason.SUCCEEDED)
    assert copy.read_bytes() == disk.read_bytes()
    assert 0 < completed.report.volumes[0].bytes_fetched < full.bytes_fetched / 2


def test_an_empty_disk_never_replaces_a_point(jobs: Jobs, disk: Path) -> None:
    """A source that lost its content fails the run; the last good point stays the newest."""
    good = jobs.run(jobs.backup("run-1", root=disk)).report
    disk.write_bytes(b"")
    failed = jobs.run(jobs.backup("run-2", root=disk))
    assert (failed.code, failed.report.reason) == (EXIT_FAILED, Reason.VOLUME_ERROR)
    disk.write_bytes(os.urandom(1000))
    assert jobs.run(jobs.backup("run-3", root=disk)).report.parent == good.restore_point


def test_a_run_of_another_verb_is_not_carried_out(jobs: Jobs, disk: Path) -> None:
    """What the Job's arguments say and what its Secret says must agree."""
    refused = jobs.run(jobs.backup("run-1", root=disk), verb="forget")
    assert (refused.code, refused.report.reason) == (EXIT_REFUSED, Reason.INVALID_SPEC)
    assert refused.report.run_id == "run-1"
    assert refused.report.verb == "forget"


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff"])
def test_a_run_that_cannot_be_read_still_gives_a_report(jobs: Jobs, content: bytes) -> None:
    """The controller learns of its own mistakes from the report, not from a pod without words."""
    ended = jobs.run(jobs.target(), run_file=content)
    assert (ended.code, ended.report.reason) == (EXIT_REFUSED, Reason.INVALID_SPEC)
