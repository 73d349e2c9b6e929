"""Streams of changed and allocated blocks, asked for over TLS by a plain gRPC client."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from gen_snapshot_metadata import files
from generated_files import settle
from safehold.engine.changed_blocks.snapshot_metadata import schema_pb2 as schema
from sandbox.apiserver.schema import CompiledSchema
from sandbox.cluster.client import Object
from sandbox.cluster.kinds import (
    SNAPSHOT_METADATA_SERVICE,
    VOLUME_SNAPSHOT,
    VOLUME_SNAPSHOT_CLASS,
    VOLUME_SNAPSHOT_CONTENT,
)
from sandbox.csi.names import DRIVER
from sandbox.csi.snapshot_metadata.service import ServiceSettings

from .conftest import Storage, running
from .metadata_client import Client, connected, service_of, token_for

MIB = 1 << 20
BLOCK = 4096
DEFINITION = (
    Path(__file__).parents[3] / ".." / "shared" / "crds" / "csi" / "cbt.storage.k8s.io_snapshotmetadataservices.yaml"
)
Code = grpc.StatusCode


@pytest.fixture
async def client(storage: Storage) -> AsyncIterator[Client]:
    """A client that may ask about namespace a."""
    async with connected(storage.cluster) as made:
        yield made


def write(path: Path, blocks: dict[int, bytes]) -> None:
    """Writes at the start of blocks of 4 KiB."""
    with path.open("r+b") as file:
        for block, data in blocks.items():
            file.seek(block * BLOCK)
            file.write(data)


async def two_snapshots(storage: Storage, blocks: int = 2048) -> tuple[str, str]:
    """Claim `disk` with snapshots `one` and `two`, between which every second block changed; gives both handles."""
    await storage.claim("disk", resources={"requests": {"storage": str(blocks * BLOCK)}})
    _, volume = await storage.bound("disk")
    path = storage.path(volume)
    write(path, dict.fromkeys(range(0, blocks, 3), b"first"))
    first = await storage.snapshot("one", "disk")
    write(path, dict.fromkeys(range(0, blocks, 2), b"second"))
    second = await storage.snapshot("two", "disk")
    return handle(first), handle(second)


def handle(snapshot: tuple[Object, Object]) -> str:
    """The driver's handle of a snapshot and its content."""
    return str(snapshot[1]["status"]["snapshotHandle"])


def covered(tuples: list[tuple[int, int]]) -> set[int]:
    """The blocks that the tuples name."""
    return {at // BLOCK for offset, size in tuples for at in range(offset, offset + size, BLOCK)}


def differing(storage: Storage, old: str, new: str) -> set[int]:
    """The blocks in which two snapshots differ, byte by byte."""
    before, after = ((storage.root / "snapshots" / each).read_bytes() for each in (old, new))
    return {at // BLOCK for at in range(0, len(after), BLOCK) if before[at : at + BLOCK] != after[at : at + BLOCK]}


async def test_a_delta_is_what_a_byte_comparison_finds(storage: Storage, client: Client) -> None:
    """The stream names exactly the changed blocks, in messages of at most max_results, and ends with OK."""
    old, new = await two_snapshots(storage)
    answer = await client.delta(old, "two", max_results=100)
    assert answer.code == Code.OK, answer.details
    assert covered(answer.tuples) == differing(storage, old, new)
    assert [len(message.block_metadata) for message in answer.messages[:-1]] == [100] * (len(answer.messages) - 1)
    assert {message.volume_capacity_bytes for message in answer.messages} == {2048 * BLOCK}
    assert {message.block_metadata_type for message in answer.messages} == {schema.VARIABLE_LENGTH}


async def test_all_but_the_allocated_blocks_are_zero(storage: Storage, client: Client) -> None:
    """GetMetadataAllocated leaves out nothing that holds data, and leaves out the holes."""
    await storage.claim("disk", resources={"requests": {"storage": str(64 * MIB)}})
    _, volume = await storage.bound("disk")
    write(storage.path(volume), {100: b"x" * MIB, 9000: b"y"})
    await storage.snapshot("one", "disk")
    answer = await client.allocated("one")
    assert answer.code == Code.OK, answer.details
    assert {*range(100, 100 + MIB // BLOCK), 9000} <= covered(answer.tuples)
    assert sum(size for _, size in answer.tuples) < 4 * MIB


@pytest.mark.parametrize(("given", "most"), [(0, 256), (7, 7)])
async def test_a_resumed_stream_continues(storage: Storage, client: Client, given: int, most: int) -> None:
    """A client that lost its stream asks from the end of the last tuple on, and misses and repeats nothing."""
    old, new = await two_snapshots(storage)
    cut = await client.delta(old, "two", max_results=given, leave_after=2)
    assert len(cut.tuples) == 2 * most
    offset, size = cut.tuples[-1]
    rest = await client.delta(old, "two", max_results=given, starting_offset=offset + size)
    assert rest.code == Code.OK
    assert covered(cut.tuples) | covered(rest.tuples) == differing(storage, old, new)
    assert not covered(cut.tuples) & covered(rest.tuples)


async def test_an_offset_within_a_tuple_brings_its_rest(storage: Storage, client: Client) -> None:
    """The first tuple ends behind the starting offset, and may begin before it."""
    old, _ = await two_snapshots(storage)
    answer = await client.delta(old, "two", starting_offset=4 * BLOCK + 1)
    first_offset, first_size = answer.tuples[0]
    assert first_offset <= 4 * BLOCK + 1 < first_offset + first_size


async def test_a_stream_that_takes_too_long_is_cut(tmp_path: Path) -> None:
    """The sidecar's longest time ends a stream with DEADLINE_EXCEEDED; resuming reaches the end."""
    settings = ServiceSettings(block_type="fixed", max_stream_seconds=0.3)
    async with running(tmp_path, changed_blocks=settings) as storage, connected(storage.cluster) as client:
        old, new = await two_snapshots(storage, 20_000)
        found: list[tuple[int, int]] = []
        codes = []
        while Code.OK not in codes:
            start = sum(found[-1]) if found else 0
            answer = await client.delta(old, "two", max_results=1, starting_offset=start)
            found += answer.tuples
            codes.append(answer.code)
        assert set(codes[:-1]) == {Code.DEADLINE_EXCEEDED}
        assert covered(found) == differing(storage, old, new)
        assert {size for _, size in found} == {BLOCK}


REFUSED: list[tuple[str, dict[str, Any], grpc.StatusCode, str]] = [
    ("no token", {"security_token": ""}, Code.INVALID_ARGUMENT, "securityToken is missing"),
    ("no namespace", {"namespace": ""}, Code.INVALID_ARGUMENT, "namespace parameter cannot be empty"),
    ("no base", {"base": ""}, Code.INVALID_ARGUMENT, "baseSnapshotId cannot be empty"),
    ("no target", {"target": ""}, Code.INVALID_ARGUMENT, "targetSnapshotName cannot be empty"),
    ("negative results", {"max_results": -1}, Code.INVALID_ARGUMENT, "maxResults cannot be negative"),
    ("no real token", {"security_token": "stolen"}, Code.UNAUTHENTICATED, "unauthenticated user"),
    ("another's namespace", {"namespace": "b"}, Code.PERMISSION_DENIED, "user does not have permissions"),
    ("target missing", {"target": "none"}, Code.UNAVAILABLE, "failed to get VolumeSnapshot 'a/none'"),
    ("base unknown", {"base": "gone"}, Code.NOT_FOUND, "cannot find the source snapshot"),
    ("negative offset", {"starting_offset": -1}, Code.OUT_OF_RANGE, "failed to seek to starting offset"),
    ("offset behind the end", {"starting_offset": 8 * BLOCK}, Code.OUT_OF_RANGE, "failed to seek to starting offset"),
]


async def test_refusals(storage: Storage, client: Client) -> None:
    """Each fault of a request has the status code and the words of the real sidecar or driver, and no message."""
    old, _ = await two_snapshots(storage, 8)
    for what, wrong, code, words in REFUSED:
        answer = await client.delta(**{"base": old, "target": "two", **wrong})
        assert (answer.code, answer.messages) == (code, []), what
        assert words in answer.details, what


async def test_a_token_for_another_audience_is_refused(storage: Storage, client: Client) -> None:
    """Only the audience that the SnapshotMetadataService names counts, also after it was changed."""
    await two_snapshots(storage, 8)
    other = replace(client, token=await token_for(storage.cluster, "mover", "another"))
    assert (await other.allocated("two")).code == Code.UNAUTHENTICATED
    await storage.patch(SNAPSHOT_METADATA_SERVICE, DRIVER, {"spec": {"audience": "another"}})
    assert (await other.allocated("two")).code == Code.OK
    assert (await client.allocated("two")).code == Code.UNAUTHENTICATED


async def test_snapshots_of_two_volumes_have_no_delta(storage: Storage, client: Client) -> None:
    """The driver refuses a base of another volume."""
    await two_snapshots(storage, 8)
    await storage.claim("other")
    await storage.bound("other")
    base = handle(await storage.snapshot("three", "other"))
    answer = await client.delta(base, "two")
    assert (answer.code, answer.details) == (Code.INVALID_ARGUMENT, "snapshots don't belong to the same Volume")


async def test_filesystem_volumes_have_no_blocks_to_tell(storage: Storage, client: Client) -> None:
    """Only Block volumes are answered for."""
    await storage.claim("files", volumeMode="Filesystem")
    await storage.bound("files")
    await storage.snapshot("one", "files")
    answer = await client.allocated("one")
    assert (answer.code, answer.details) == (
        Code.INVALID_ARGUMENT,
        "source volume does not have block mode access type",
    )


async def test_the_base_needs_no_objects(storage: Storage, client: Client) -> None:
    """A base is a handle: it serves as long as the driver keeps it, and no longer."""
    old, new = await two_snapshots(storage)
    _, content = await storage.ready("one", "a")
    name = content["metadata"]["name"]
    await storage.patch(VOLUME_SNAPSHOT_CONTENT, name, {"spec": {"deletionPolicy": "Retain"}})
    await storage.cluster.delete(VOLUME_SNAPSHOT, "one", "a")
    await storage.gone(VOLUME_SNAPSHOT, "one", "a")
    await storage.cluster.delete(VOLUME_SNAPSHOT_CONTENT, name)
    await storage.gone(VOLUME_SNAPSHOT_CONTENT, name)
    answer = await client.delta(old, "two")
    assert covered(answer.tuples) == differing(storage, old, new)


async def test_a_target_without_its_class_is_unavailable(storage: Storage, client: Client) -> None:
    """The sidecar needs the class of the target, for the driver's secret: a class that went takes the answers along."""
    old, _ = await two_snapshots(storage, 8)
    await storage.cluster.delete(VOLUME_SNAPSHOT_CLASS, "sandbox")
    answer = await client.delta(old, "two")
    assert answer.code == Code.UNAVAILABLE
    assert "failed to get VolumeSnapshotClass 'sandbox'" in answer.details


async def test_a_snapshot_of_another_driver_is_refused(storage: Storage, client: Client) -> None:
    """The service answers for its own driver only."""
    await two_snapshots(storage, 8)
    _, content = await storage.ready("two", "a")
    foreign = {"spec": {"driver": "other.example"}}
    await storage.patch(VOLUME_SNAPSHOT_CONTENT, content["metadata"]["name"], foreign)
    answer = await client.allocated("two")
    assert (answer.code, answer.details) == (
        Code.INVALID_ARGUMENT,
        f"VolumeSnapshot 'two' does not belong to the CSI driver '{DRIVER}'",
    )


async def test_a_driver_may_have_no_changed_blocks(tmp_path: Path) -> None:
    """Without the service there is no SnapshotMetadataService, also where an earlier run left one."""
    async with running(tmp_path) as storage:
        assert (await service_of(storage.cluster))["audience"] == DRIVER
    async with running(tmp_path, changed_blocks=None) as storage:
        assert await storage.cluster.get(SNAPSHOT_METADATA_SERVICE, DRIVER) is None


@pytest.mark.skipif(not DEFINITION.is_file(), reason="the real definitions (../shared/crds) are not on this machine")
async def test_the_object_is_valid_where_the_real_definition_is(storage: Storage) -> None:
    """The real v1beta1 schema takes our SnapshotMetadataService and prunes nothing of it."""
    service = await storage.cluster.get(SNAPSHOT_METADATA_SERVICE, DRIVER)
    assert service is not None
    real = yaml.safe_load(DEFINITION.read_text())
    real_schema = CompiledSchema(real["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    assert real_schema.validate(service) == []
    assert real_schema.prune(service)["spec"] == service["spec"]


def test_no_drift(capsys: pytest.CaptureFixture[str]) -> None:
    """The committed messages are exactly what protoc makes of the schema."""
    assert settle(files(), check=True) == 0, capsys.readouterr().err
