"""The worker's client of SnapshotMetadata against the storage's own service, in both of its block types."""

import asyncio
import base64
import threading
from pathlib import Path
from typing import Any, Literal

import pytest

from safehold.engine.changed_blocks.asking import Answer, ask
from safehold.engine.changed_blocks.csi import CsiSource
from safehold.errors import ChangedBlocksError
from sandbox.cluster.client import Object
from sandbox.csi.snapshot_metadata.service import ServiceSettings

from .conftest import Storage, running
from .metadata_client import connected, service_of, token_for

BLOCK = 4096
BLOCKS = 2048
CHUNK = 128 * 1024


async def source_for(storage: Storage, folder: Path, audience: str | None = None, **changes: Any) -> CsiSource:
    """A source for the snapshot `two` of namespace a, with a token of an account that may ask."""
    service = await service_of(storage.cluster)
    async with connected(storage.cluster) as client:
        token = client.token
    if audience:
        token = await token_for(storage.cluster, "mover", audience)
    file = folder / "token"
    file.write_text(token)
    known = {
        "address": service["address"],
        "authority": base64.b64decode(service["caCert"]).decode(),
        "token_file": file,
        "namespace": "a",
        "snapshot": "two",
    }
    return CsiSource(**known | changes)


async def snapshot_of(storage: Storage, name: str, claim: str, changed: range) -> str:
    """Write at the start of these blocks, then cut; the driver's handle."""
    _, volume = await storage.bound(claim)
    with storage.path(volume).open("r+b") as disk:
        for block in changed:
            disk.seek(block * BLOCK)
            disk.write(name.encode())
    found: tuple[Object, Object] = await storage.snapshot(name, claim)
    return str(found[1]["status"]["snapshotHandle"])


async def asked(source: CsiSource, *, since_base: bool = True, size_bytes: int = BLOCKS * BLOCK) -> Answer:
    """What the engine gets, beside the service's event loop."""
    stop = threading.Event()
    return await asyncio.to_thread(
        ask, source, since_base=since_base, size_bytes=size_bytes, chunk_bytes=CHUNK, stop=stop
    )


def disk(name: str, size_bytes: int = BLOCKS * BLOCK) -> dict[str, Any]:
    """A claim of that size."""
    return {"name": name, "resources": {"requests": {"storage": str(size_bytes)}}}


@pytest.mark.parametrize("block_type", ["fixed", "variable"])
async def test_a_delta_names_the_changed_chunks(tmp_path: Path, block_type: Literal["fixed", "variable"]) -> None:
    """Between two snapshots exactly the chunks that were written; without a base those that hold data."""
    async with running(tmp_path, changed_blocks=ServiceSettings(block_type=block_type)) as storage:
        await storage.claim(**disk("disk"))
        base = await snapshot_of(storage, "one", "disk", range(32))
        await snapshot_of(storage, "two", "disk", range(640, 1280, 64))
        source = await source_for(storage, tmp_path, base=base)
        changed = {extent.offset // CHUNK for extent in (await asked(source)).touched.extents()}
        assert changed == {block * BLOCK // CHUNK for block in range(640, 1280, 64)}
        allocated = await asked(source, since_base=False)
        assert all(slot in allocated.touched for slot in (0, *changed))
        assert allocated.touched.size_bytes < BLOCKS * BLOCK


async def test_streams_that_are_cut_again_and_again_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service ends each stream after a moment; the client goes on where it was until it has the whole answer."""
    monkeypatch.setattr("safehold.engine.changed_blocks.csi._MOST_RESULTS", 1)  # so that one stream cannot hold it
    settings = ServiceSettings(block_type="fixed", max_stream_seconds=0.5)
    size = 20_000 * BLOCK
    async with running(tmp_path, changed_blocks=settings) as storage:
        await storage.claim(**disk("disk", size))
        base = await snapshot_of(storage, "one", "disk", range(1))
        await snapshot_of(storage, "two", "disk", range(0, 20_000, 2))
        answer = await asked(await source_for(storage, tmp_path, base=base), size_bytes=size)
        assert answer.touched.size_bytes == size


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"audience": "somebody-else"}, BLOCKS * BLOCK, "UNAUTHENTICATED"),
    ({"namespace": "safehold"}, BLOCKS * BLOCK, "PERMISSION_DENIED"),
    ({"base": "other"}, BLOCKS * BLOCK, "same Volume"),
    ({"base": "gone"}, BLOCKS * BLOCK, "NOT_FOUND"),
    ({}, BLOCKS * BLOCK * 2, "another size"),
]


async def test_what_the_service_does_not_vouch_for_is_refused(tmp_path: Path) -> None:
    """A foreign token, foreign rights, another volume, a lost base and another size: an error, and no ranges."""
    async with running(tmp_path) as storage:
        await storage.claim(**disk("disk"))
        await storage.claim(**disk("another"))
        base = await snapshot_of(storage, "one", "disk", range(32))
        handles = {"other": await snapshot_of(storage, "of-another", "another", range(8))}
        await snapshot_of(storage, "two", "disk", range(640, 672))
        known = await source_for(storage, tmp_path, base=base)
        for changes, size_bytes, said in REFUSED:
            changed = dict(changes)
            if audience := changed.pop("audience", None):
                known.token_file.write_text(await token_for(storage.cluster, "mover", audience))
            elif "base" in changed:
                changed["base"] = handles.get(changed["base"], "no-such-handle")
            source = CsiSource(**{**_fields(known), **changed})
            with pytest.raises(ChangedBlocksError, match=said):
                await asked(source, size_bytes=size_bytes)
            service = await service_of(storage.cluster)
            known.token_file.write_text(await token_for(storage.cluster, "mover", service["audience"]))


def _fields(source: CsiSource) -> dict[str, Any]:
    names = ("address", "authority", "token_file", "namespace", "snapshot", "base")
    return {name: getattr(source, name) for name in names}
