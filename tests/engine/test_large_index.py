"""A run over a large repository: few requests to find its way, and flat memory."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.generated_index import GeneratedIndex
from safehold.engine.geometry import FORMAT_1, MIB
from safehold.engine.keys.keyfile import write_key_file
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

    from sandbox.objectstore.server import ObjectStore as SandboxStore

MOST_REQUESTS = 20
MOST_MEMORY_BYTES = 200 * MIB
NEW_BYTES = 32 * MIB


@pytest.fixture
def large(laboratory: Laboratory) -> Laboratory:
    """A laboratory with the sizes of real repositories."""
    laboratory.geometry = FORMAT_1
    return laboratory


def changed_disk(laboratory: Laboratory) -> Path:
    """A disk of which every chunk is new."""
    path = laboratory.folder / "root"
    path.write_bytes(secrets.token_bytes(NEW_BYTES))
    return path


def requests_of_run(laboratory: Laboratory, store: FaultyStore) -> list[str]:
    """What a run over a changed disk asks to find its way. The parent's map, in packs, is what it then reads."""
    laboratory.back_up(changed_disk(laboratory), store=store)
    return [name for name in store.reads if not name.startswith("packs/")]


def test_a_run_finds_its_way_with_few_requests(large: Laboratory, faulty: type[FaultyStore]) -> None:
    """Whatever runs, folds and points there are: also when all of the disk is new, and after many runs."""
    generated = GeneratedIndex(large.domain())
    generated.write_fold(300_000)
    for number in range(30):
        generated.write_run(500 + number)
    for _ in range(6):
        requests = requests_of_run(large, faulty(large.store))
        assert len(requests) <= MOST_REQUESTS, "\n".join(requests)


def test_what_many_requests_would_find_is_uploaded_again(large: Laboratory, faulty: type[FaultyStore]) -> None:
    """A run asks the folds and the largest of the newest segments, and is whole without the others."""
    domain = large.domain()
    generated = GeneratedIndex(domain)
    generated.write_run(3000)
    for _ in range(20):
        generated.write_run(100)
    generated.write_fold(3000)
    store = faulty(large.store)
    index = large.domain(store).index
    store.reads.clear()
    known = index.known(generated.sampled)
    large_ones = {*generated.sampled[:1000], *generated.sampled[-1000:]}
    assert large_ones <= known < set(generated.sampled)
    assert len(store.reads) <= MOST_REQUESTS


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_fifty_million_chunks_cost_no_memory(
    object_store: SandboxStore, large: Laboratory, faulty: type[FaultyStore]
) -> None:
    """A first backup and an incremental, all of it new, over a real S3 server: resident memory and requests."""
    object_store.create_bucket("large")
    credentials, key = large.folder / "credentials", large.folder / "key"
    credentials.write_text(object_store.admin.profile())
    write_key_file(key, large.key)
    store = S3Store(S3Place(bucket="large", endpoint_url=object_store.endpoint_url, credentials_file=credentials))
    generated = GeneratedIndex(large.domain(store))
    generated.write_fold(48_000_000)
    for _ in range(30):
        generated.write_run(65_536)
    for _ in range(2):
        assert peak_of_backup(object_store, changed_disk(large), credentials, key) < MOST_MEMORY_BYTES
        requests = requests_of_run(large, faulty(store))
        assert len(requests) <= MOST_REQUESTS, "\n".join(requests)


def peak_of_backup(store: SandboxStore, disk: Path, credentials: Path, key: Path) -> int:
    """The most memory that `safehold volume backup` of the disk has had, in bytes."""
    command = [
        *(str(Path(sys.executable).with_name("safehold")), "volume", "backup", str(disk)),
        *("--repository", "s3://large", "--endpoint-url", store.endpoint_url, "--key-file", str(key)),
        *("--vm", "vm", "--volume", "root", "--output", "json"),
    ]
    environment = {**os.environ, "AWS_SHARED_CREDENTIALS_FILE": str(credentials)}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss * 1024
