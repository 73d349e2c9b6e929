"""Measures what chunk sizes cost: `hack/chunk_sizes.py IMAGE [--every N]` prints the table of docs/chunk-size.md.

It cuts a real disk image with the engine's own code, and three kinds of change that are made to it in memory.
"""

import random
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import thread_time

import click

from safehold.engine.geometry import GIB, KIB, MIB
from safehold.engine.packing.chunks import ID_BYTES
from safehold.engine.packing.frames import Frame, FrameKind

_BLOCK_BYTES = 8 * MIB
_TAG_BYTES = 16
_ROW_BYTES = 52 + 3 + 36
"""Of a chunk or node in the index, in its filter, and in the pack's table of contents."""
_NODE_OVERHEAD_BYTES = 2 + 36 + _TAG_BYTES


@dataclass(frozen=True, slots=True)
class Cut:
    """A candidate: chunk and frame size, and as many ids per map node as keep a leaf at 4 MiB of volume."""

    chunk_bytes: int
    frame_bytes: int

    @property
    def fanout(self) -> int:
        """Ids per map node."""
        return max(16, min(64, self.chunk_bytes * 32 // (128 * KIB)))


@dataclass(slots=True)
class Cost:
    """What a cut costs, over all blocks."""

    data: int = 0
    chunks: int = 0
    map: int = 0
    """Bytes of leaves; the nodes above them are a thirtieth more."""
    seconds: float = 0.0

    @property
    def index(self) -> int:
        """Bytes of index rows and tables of contents."""
        return self.chunks * _ROW_BYTES


def database(block: bytes, generator: random.Random) -> bytes:
    """15 writes of 4 to 16 KiB of random bytes: 5,000 on 2.7 GiB."""
    changed = bytearray(block)
    for _ in range(15):
        size = generator.choice([4, 8, 16]) * KIB
        at = generator.randrange((len(block) - size) // (4 * KIB)) * 4 * KIB
        changed[at : at + size] = generator.randbytes(size)
    return bytes(changed)


def log(block: bytes, generator: random.Random) -> bytes:
    """An append of 256 KiB of what the block holds elsewhere, and the inode's block of 4 KiB."""
    changed = bytearray(block)
    source, target, inode = (generator.randrange((len(block) - 256 * KIB) // (4 * KIB)) * 4 * KIB for _ in range(3))
    changed[target : target + 256 * KIB] = block[source : source + 256 * KIB]
    changed[inode : inode + 4 * KIB] = generator.randbytes(4 * KIB)
    return bytes(changed)


def clone(block: bytes, generator: random.Random) -> bytes:
    """Files that differ between machines of one golden image: every fourth block has one of 4 KiB to 1 MiB."""
    changed = bytearray(block)
    if generator.random() < 0.25:
        size = 4 * KIB << generator.randrange(9)
        at = generator.randrange((len(block) - size) // (4 * KIB) + 1) * 4 * KIB
        changed[at : at + size] = generator.randbytes(size)
    return bytes(changed)


WORKLOADS = {"database": database, "log": log, "clone": clone}


def blocks_of(image: Path, every: int) -> Iterator[bytes]:
    """Every n-th block of the image that is not zeros only."""
    with image.open("rb") as file:
        for number, block in enumerate(iter(lambda: file.read(_BLOCK_BYTES), b"")):
            if number % every == 0 and len(block) == _BLOCK_BYTES and block.count(0) != len(block):
                yield block


def take(cost: Cost, cut: Cut, before: bytes, after: bytes) -> None:
    """Add what one block costs that was `before` and is `after`."""
    leaves = set()
    for start in range(0, len(after), cut.frame_bytes):
        new = []
        for at in range(start, start + cut.frame_bytes, cut.chunk_bytes):
            chunk = after[at : at + cut.chunk_bytes]
            if chunk != before[at : at + cut.chunk_bytes] and chunk.count(0) != len(chunk):
                new.append(chunk)
                leaves.add(at // (cut.fanout * cut.chunk_bytes))
        if new:
            began = thread_time()
            frame = Frame.of(FrameKind.CHUNKS, [(secrets.token_bytes(32), len(each)) for each in new], b"".join(new))
            cost.seconds += thread_time() - began
            cost.data += len(frame.plain) + _TAG_BYTES
            cost.chunks += len(new)
    cost.map += len(leaves) * (cut.fanout * ID_BYTES + _NODE_OVERHEAD_BYTES)


@click.command()
@click.argument("image", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--every", default=1, show_default=True, help="Look at every n-th 8 MiB only.")
def main(image: Path, every: int) -> None:
    """Print a Markdown table; all bytes per GiB of blocks that hold data."""
    cuts = [Cut(size * KIB, frame) for size in (64, 128, 256) for frame in (size * KIB, MIB)]
    costs = {(cut, name): Cost() for cut in cuts for name in ("full", *WORKLOADS)}
    generator, total = random.Random(1), 0  # noqa: S311 - the same changes in every run
    for block in blocks_of(image, every):
        total += len(block)
        changed = {"full": (bytes(len(block)), block)}
        changed |= {name: (block, change(block, generator)) for name, change in WORKLOADS.items()}
        for (cut, name), cost in costs.items():
            take(cost, cut, *changed[name])
    names = ", ".join(WORKLOADS)
    click.echo(f"| chunk, frame | full: MiB, CPU s | index MiB | uploaded MiB: {names} | map KiB: {names} |")
    click.echo("|---|---|---|---|---|")
    for cut in cuts:
        full = costs[cut, "full"]
        uploads = ", ".join(f"{costs[cut, name].data / MIB * GIB / total:.1f}" for name in WORKLOADS)
        maps = ", ".join(f"{costs[cut, name].map / KIB * GIB / total:.0f}" for name in WORKLOADS)
        click.echo(
            f"| {cut.chunk_bytes // KIB} KiB, {cut.frame_bytes // KIB} KiB | {full.data / MIB * GIB / total:.1f}, "
            f"{full.seconds * GIB / total:.2f} | {full.index / MIB * GIB / total:.2f} | {uploads} | {maps} |"
        )


if __name__ == "__main__":
    main()
