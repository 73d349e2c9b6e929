#!/usr/bin/env python3
"""Gets disks back from a Safehold repository (format 1) when there is nothing left but the bucket and the key.

Needs Python 3.11 or later, and:  python3 -m pip install zstandard cryptography
It does not need Safehold or Kubernetes, and it only ever reads the repository.

    python3 rescue.v1.py --repository s3://BUCKET/PREFIX --endpoint-url https://s3.example.org --key-file KEY points
    python3 rescue.v1.py --repository /mnt/copy-of-the-bucket --key-file KEY restore POINT DISK --volume root
    python3 rescue.v1.py --repository /mnt/copy-of-the-bucket --key-file KEY machine POINT > vm.json

The key file holds the line that `safehold key new` printed. For S3 set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and,
where they are needed, AWS_SESSION_TOKEN and AWS_REGION. DISK is a file to create, or a block device that is large
enough. Everything is verified by its authentication tag before it is written.

It is one file on purpose: whoever needs it has little else. Section numbers below are those of format.v1.md.
"""

import argparse
import base64
import bisect
import fcntl
import hashlib
import hmac
import json
import mmap
import os
import re
import struct
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

try:
    import zstandard
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as problem:
    sys.exit(f"{problem.name} is missing; run: python3 -m pip install zstandard cryptography")

MAGIC, END, VERSION, TAG_BYTES, ID_BYTES = b"SAFEHOLD", b"SAFEHEND", 1, 16, 32
KEY_SET, PACK, SEGMENT, POINT = 1, 2, 4, 5
CHUNKS, NODES = 1, 2  # kinds of frames in packs
HEADER = struct.Struct(">8sHHIQ16s32s")
BOUND_FRAME = struct.Struct(">8sHH")
FRAME_COUNT = struct.Struct(">H")
FRAME_CHUNK = struct.Struct(">32sI")
FRONT_COUNTS = struct.Struct(">IIQ")
PACK_ROW = struct.Struct(">32s16sQQI")
ROW = struct.Struct(">32sIIIII")
SEGMENT_END = struct.Struct(">QQ8s")
ZERO_ID = bytes(ID_BYTES)
WINDOW_CHUNKS, READERS, ATTEMPTS = 4096, 8, 6
RANGE_BYTES, GAP_BYTES = 4 << 20, 128 << 10
"""What is read with one request at most, and what is read in vain rather than asking twice."""
BLKZEROOUT = 0x127F


class RescueError(Exception):
    """Why it does not go on, in one sentence."""


class Folder:
    """A copy of the bucket in a directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_dir():
            raise RescueError(f"{path} is not a directory; --repository is a directory or s3://BUCKET/PREFIX")

    def names(self, prefix: str) -> list[str]:
        """The objects below a folder, in the order of their names."""
        found = (self.path / prefix).rglob("*")
        return sorted(str(path.relative_to(self.path)) for path in found if path.is_file())

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of an object, all of it by default; from its end if the offset is negative."""
        try:
            with (self.path / name).open("rb") as file:
                file.seek(offset, os.SEEK_END if offset < 0 else os.SEEK_SET)
                return file.read(-1 if length is None else length)
        except OSError as problem:
            raise RescueError(f"{name} cannot be read: {problem.strerror}") from problem


class Bucket:
    """A prefix of an S3 bucket, read with signed requests (AWS Signature Version 4)."""

    def __init__(self, place: str, endpoint: str | None) -> None:
        bucket, _, prefix = place.partition("/")
        self.prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
        self.url = f"{(endpoint or f'https://s3.{self.region}.amazonaws.com').rstrip('/')}/{bucket}"
        try:
            self.access, self.secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
        except KeyError as problem:
            raise RescueError(f"{problem.args[0]} is not set; it takes both halves of an access key") from None

    def names(self, prefix: str) -> list[str]:
        """The objects below a folder, in the order of their names."""
        found: list[str] = []
        query = {"list-type": "2", "prefix": self.prefix + prefix}
        while True:
            page = ET.fromstring(self._get("", query, {}))  # noqa: S314 - expat refuses what expands without end
            space = page.tag.removesuffix("ListBucketResult")
            found += [str(key.text).removeprefix(self.prefix) for key in page.iter(f"{space}Key")]
            more = page.findtext(f"{space}NextContinuationToken")
            if not more:
                return found
            query["continuation-token"] = more

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """A range of an object, all of it by default; from its end if the offset is negative."""
        span = str(offset) if offset < 0 else f"{offset}-{'' if length is None else offset + length - 1}"
        return self._get("/" + self.prefix + name, {}, {"range": f"bytes={span}"} if span != "0-" else {})

    def _get(self, path: str, query: dict[str, str], headers: dict[str, str]) -> bytes:
        for attempt in range(ATTEMPTS):
            try:
                with urllib.request.urlopen(self._signed(path, query, headers), timeout=60) as answer:  # noqa: S310 - http(s) only, see _store
                    data: bytes = answer.read()
                    return data
            except urllib.error.HTTPError as problem:
                if problem.code == 416:
                    return b""  # the object ends before the range begins
                said = problem.read(2000).decode(errors="replace")
                if problem.code < 500 and problem.code != 429:
                    raise RescueError(f"{self.url}{path}: the store answers {problem.code}: {said}") from problem
                found = f"answers {problem.code}"
            except OSError as problem:
                found = f"does not answer: {problem}"
            time.sleep(min(2**attempt, 20) / 2)
        raise RescueError(f"{self.url}{path}: the store {found}")

    def _signed(self, path: str, query: dict[str, str], headers: dict[str, str]) -> urllib.request.Request:
        asked = "&".join(f"{quoted(key)}={quoted(value)}" for key, value in sorted(query.items()))
        url = urllib.parse.urlsplit(self.url + urllib.parse.quote(path, safe="/-_.~"))
        now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        empty = hashlib.sha256(b"").hexdigest()
        headers = {**headers, "host": url.netloc, "x-amz-date": now, "x-amz-content-sha256": empty}
        if token := os.environ.get("AWS_SESSION_TOKEN"):
            headers["x-amz-security-token"] = token
        names = ";".join(sorted(headers))
        lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
        request = f"GET\n{url.path}\n{asked}\n{lines}\n{names}\n{empty}"
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        key = f"AWS4{self.secret}".encode()
        for word in (
            *scope.split("/"),
            f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}",
        ):
            key = hmac.digest(key, word.encode(), "sha256")
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
        )
        return urllib.request.Request(f"{url.geturl()}?{asked}" if asked else url.geturl(), headers=headers)  # noqa: S310


def quoted(text: str) -> str:
    """As signatures want query strings."""
    return urllib.parse.quote(text, safe="-_.~")


def derive(key: bytes, info: bytes, salt: bytes = b"", length: int = 32) -> bytes:
    """HKDF-SHA-256 (section 3)."""
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(key)


def read_key(path: str) -> bytes:
    """The repository key of a key file (section 3)."""
    try:
        label, _, text = Path(path).read_text().strip().partition(":")
        raw = base64.b64decode(text, validate=True)
    except (OSError, ValueError) as problem:
        raise RescueError(f"The key file {path} cannot be read or is no key file") from problem
    key, check = raw[:32], raw[32:]
    if label != "safehold-key-1" or len(key) != 32 or hashlib.sha256(key).digest()[:4] != check:
        raise RescueError(f"The key in {path} is malformed: it must be the unchanged line of 'safehold key new'")
    return key


class Header(NamedTuple):
    """The first 72 bytes of a sealed object (section 4)."""

    magic: bytes
    version: int
    type: int
    first_frame: int
    length: int
    key_set: bytes
    salt: bytes

    @classmethod
    def parse(cls, name: str, data: bytes, expected: int) -> "Header":
        """The header of the object `name`, which must be of this version and of the expected type."""
        if len(data) < HEADER.size:
            raise RescueError(f"{name} is truncated: it has {len(data)} bytes, fewer than a header")
        header = cls(*HEADER.unpack_from(data))
        if header.magic != MAGIC:
            raise RescueError(f"{name} is damaged: it does not begin with {MAGIC.decode()}")
        if header.version != VERSION:
            raise RescueError(f"{name} has format version {header.version}; this program reads version {VERSION}")
        if header.type != expected:
            raise RescueError(f"{name} is not what its name says: an object of type {header.type}, expected {expected}")
        return header


def object_cipher(key: bytes, kind: int, salt: bytes) -> AESGCM:
    """The cipher of one object (section 4)."""
    return AESGCM(derive(key, b"safehold/1/object/" + struct.pack(">H", kind), salt=salt))


def opened(name: str, cipher: AESGCM, frame: int, sealed: bytes, bound: bytes) -> bytes:
    """A frame's plain bytes, if not a bit of it or of what it is bound to differs (section 4)."""
    try:
        return cipher.decrypt(frame.to_bytes(12, "big"), sealed, bound)
    except InvalidTag:
        raise RescueError(f"{name} is damaged: frame {frame} does not open") from None


class Sealed:
    """A sealed object other than a pack (section 4)."""

    def __init__(self, name: str, header: Header, key: bytes) -> None:
        self.name = name
        self.bound = HEADER.pack(*header) + name.encode()
        self.cipher = object_cipher(key, header.type, header.salt)

    def open(self, frame: int, sealed: bytes) -> bytes:
        """The plain bytes of a frame."""
        return opened(self.name, self.cipher, frame, sealed, self.bound + struct.pack(">I", frame))


class Domain:
    """A key domain: the data keys that our repository key opens (section 3), and the points that they seal."""

    def __init__(self, store: Folder | Bucket, scope: str, secret: bytes) -> None:
        self.store, self.scope = store, scope
        self.data_keys: dict[bytes, bytes] = {}
        recipient = derive(secret, b"safehold/1/recipient", length=8).hex()
        for name in store.names(f"keys/{scope}/"):
            if name.endswith(f"/{recipient}"):
                data = store.read(name)
                header = Header.parse(name, data, KEY_SET)
                self.data_keys[header.key_set] = Sealed(name, header, secret).open(0, data[HEADER.size :])[:32]

    def data_key(self, key_set: bytes, name: str) -> bytes:
        """The data key of the key set that sealed the object `name`."""
        if key_set not in self.data_keys:
            raise RescueError(f"{name} is sealed with the key set {key_set.hex()}, which this key does not open")
        return self.data_keys[key_set]

    def document(self, name: str, number: int) -> Any:
        """The manifest (0) or the VM's objects (1) of a point (section 8)."""
        data = self.store.read(name)
        header = Header.parse(name, data, POINT)
        if len(data) != header.length:
            raise RescueError(f"{name} is truncated: it has {len(data)} bytes, expected {header.length}")
        middle = HEADER.size + header.first_frame
        stored = (data[HEADER.size : middle], data[middle:])[number]
        frame = Sealed(name, header, self.data_key(header.key_set, name)).open(number, stored)
        return json.loads(zstandard.ZstdDecompressor().decompress(frame))


class Place(NamedTuple):
    """Where a chunk is (section 7)."""

    pack: bytes
    key_set: bytes
    frame: int
    offset: int
    stored: int
    length: int


class Segment:
    """An index segment, opened into a temporary file, so that memory does not grow with it (section 7)."""

    def __init__(self, domain: Domain, name: str) -> None:
        self.store, self.name = domain.store, name
        tail = self.store.read(name, -HEADER.size - SEGMENT_END.size)
        if tail[-len(END) :] != END or len(tail) != HEADER.size + SEGMENT_END.size:
            raise RescueError(f"{name} is truncated: it does not end with {END.decode()}")
        header = Header.parse(name, tail, SEGMENT)
        length, front_bytes, _ = SEGMENT_END.unpack_from(tail, HEADER.size)
        self.sealed = Sealed(name, header, domain.data_key(header.key_set, name))
        front = self.sealed.open(0, self.store.read(name, length - len(tail) - front_bytes, front_bytes))
        packs, self.block_rows, self.rows = FRONT_COUNTS.unpack_from(front)
        rows = PACK_ROW.iter_unpack(front[FRONT_COUNTS.size :][: packs * PACK_ROW.size])
        self.packs = [(pack, key_set) for pack, key_set, *_ in rows]
        with tempfile.TemporaryFile() as file:
            file.writelines(self._blocks())
            file.flush()
            self.table = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def _blocks(self) -> Iterator[bytes]:
        sizes = [self.block_rows * ROW.size + TAG_BYTES] * (self.rows // self.block_rows)
        if rest := self.rows % self.block_rows:
            sizes.append(rest * ROW.size + TAG_BYTES)
        at, frame, step = HEADER.size, 1, max(RANGE_BYTES // sizes[0], 1)
        for first in range(0, len(sizes), step):
            data, taken = self.store.read(self.name, at, sum(sizes[first : first + step])), 0
            for size in sizes[first : first + step]:
                yield self.sealed.open(frame, data[taken : taken + size])
                taken, frame = taken + size, frame + 1
            at += taken

    def find(self, chunk_id: bytes) -> Place | None:
        """The row of a chunk, if there is one: rows are sorted by id."""
        at = bisect.bisect_left(range(self.rows), chunk_id, key=self._id)
        if at == self.rows or self._id(at) != chunk_id:
            return None
        _, pack, frame, offset, stored, length = ROW.unpack_from(self.table, at * ROW.size)
        pack_id, key_set = self.packs[pack]
        return Place(pack_id, key_set, frame, offset, stored, length)

    def _id(self, row: int) -> bytes:
        return self.table[row * ROW.size : row * ROW.size + ID_BYTES]


class Chunks:
    """Finds and reads the chunks of one point (sections 5 and 7)."""

    def __init__(self, domain: Domain, manifest: Any) -> None:
        self.domain = domain
        folder = f"index/{domain.scope}/"
        named = [f"{folder}runs/{word}" for word in manifest["segments"]]
        there = domain.store.names(folder)
        # What a point names may have been folded since; at last every segment that is left may know a chunk.
        first = [name for name in there if name in named or name.startswith(f"{folder}folds/")]
        self.unread = [name for name in there if name not in first][::-1] + first[::-1]
        self.segments: list[Segment] = []

    def each(self, chunk_ids: Collection[bytes], kind: int, take: Callable[[bytes, bytes], None]) -> None:
        """Give every chunk's id and verified content to `take`, which several threads call."""
        places = sorted((self._place(chunk_id), chunk_id) for chunk_id in chunk_ids)
        groups: list[list[tuple[Place, bytes]]] = []
        for place, chunk_id in places:
            first, last = (groups[-1][0][0], groups[-1][-1][0]) if groups else (None, None)
            if first and last and first.pack == place.pack and _near(first, last, place):
                groups[-1].append((place, chunk_id))
            else:
                groups.append([(place, chunk_id)])
        # Left only when no thread is at work any more: what `take` writes to may be closed next.
        with ThreadPoolExecutor(READERS) as pool:
            for _ in pool.map(lambda group: self._read(group, kind, take), groups):
                pass

    def _place(self, chunk_id: bytes) -> Place:
        for segment in self.segments:
            if place := segment.find(chunk_id):
                return place
        while self.unread:
            self.segments.append(Segment(self.domain, self.unread.pop()))
            if place := self.segments[-1].find(chunk_id):
                return place
        raise RescueError(f"No index segment knows the chunk {chunk_id.hex()}; a segment is missing below index/")

    def _read(self, group: list[tuple[Place, bytes]], kind: int, take: Callable[[bytes, bytes], None]) -> None:
        start, last = group[0][0], group[-1][0]
        name = f"packs/{self.domain.scope}/{start.pack[:1].hex()}/{start.pack.hex()}"
        data = self.domain.store.read(name, start.offset, last.offset + last.stored - start.offset)
        cipher = object_cipher(self.domain.data_key(start.key_set, name), PACK, start.pack)
        wanted = {chunk_id for _, chunk_id in group}
        for number, offset, stored in sorted({(place.frame, place.offset, place.stored) for place, _ in group}):
            sealed = data[offset - start.offset :][:stored]
            plain = opened(name, cipher, number, sealed, BOUND_FRAME.pack(MAGIC, VERSION, kind))
            for chunk_id, content in _unpacked(plain):
                if chunk_id in wanted:
                    wanted.discard(chunk_id)
                    take(chunk_id, content)
        if wanted:
            raise RescueError(f"{name} lacks chunks that the index says it holds")


def _unpacked(frame: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The ids and contents of the chunks in a frame of a pack (section 5)."""
    (count,) = FRAME_COUNT.unpack_from(frame)
    body_at = FRAME_COUNT.size + count * FRAME_CHUNK.size
    chunks = list(FRAME_CHUNK.iter_unpack(frame[FRAME_COUNT.size : body_at]))
    body, size = frame[body_at:], sum(length for _, length in chunks)
    if len(body) != size:
        body = zstandard.ZstdDecompressor().decompress(body, max_output_size=size)
    at = 0
    for chunk_id, length in chunks:
        yield chunk_id, body[at : at + length]
        at += length


def _near(first: Place, last: Place, place: Place) -> bool:
    gap = place.offset - last.offset - last.stored
    return gap <= GAP_BYTES and place.offset + place.stored - first.offset <= RANGE_BYTES


def leaves(chunks: Chunks, volume: Any) -> Iterator[tuple[int, bytes]]:
    """The lowest nodes of a volume's map, each with the number of its first chunk (section 6)."""

    def below(node: bytes, level: int, first: int) -> Iterator[tuple[int, bytes]]:
        if level == 1:
            yield first, node
            return
        children = [node[at : at + ID_BYTES] for at in range(0, len(node), ID_BYTES)]
        nodes: dict[bytes, bytes] = {}
        chunks.each(set(children) - {ZERO_ID}, NODES, nodes.__setitem__)
        for number, child in enumerate(children):
            if child != ZERO_ID:
                yield from below(nodes[child], level - 1, first + number * volume["map_fanout"] ** (level - 1))

    # The root is read as if it were the only child of a node above it.
    yield from below(bytes.fromhex(volume["root"]), volume["levels"] + 1, 0)


def restore(chunks: Chunks, volume: Any, disk: Path) -> None:
    """Write a volume to a file, which gets its name when it is whole, or to a block device."""
    is_device = disk.is_block_device()
    if disk.exists() and not is_device:
        raise RescueError(f"{disk} exists already; choose another name")
    filling = disk if is_device else disk.with_name(f"{disk.name}.partial")
    descriptor = os.open(filling, os.O_RDWR | (os.O_EXCL if is_device else os.O_CREAT | os.O_TRUNC))
    try:
        _make_empty(descriptor, is_device, volume["size_bytes"], disk)
        window: dict[bytes, list[int]] = {}

        def write(chunk_id: bytes, content: bytes) -> None:
            for number in window[chunk_id]:
                if os.pwrite(descriptor, content, number * volume["chunk_bytes"]) != len(content):
                    raise RescueError(f"{filling} cannot be written to its end")

        for first, node in leaves(chunks, volume):
            for at in range(0, len(node), ID_BYTES):
                if (chunk_id := node[at : at + ID_BYTES]) != ZERO_ID:
                    window.setdefault(chunk_id, []).append(first + at // ID_BYTES)
            if len(window) >= WINDOW_CHUNKS:
                chunks.each(window.keys(), CHUNKS, write)
                window.clear()
                print(f"{first * volume['chunk_bytes'] / volume['size_bytes']:.0%}", end="\r", file=sys.stderr)
        chunks.each(window.keys(), CHUNKS, write)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    filling.replace(disk)


def _make_empty(descriptor: int, is_device: bool, size: int, disk: Path) -> None:
    if not is_device:
        os.ftruncate(descriptor, size)
        return
    capacity = os.lseek(descriptor, 0, os.SEEK_END)
    if capacity < size:
        raise RescueError(f"{disk} is too small: it has {capacity} bytes, expected {size}")
    fcntl.ioctl(descriptor, BLKZEROOUT, struct.pack("=QQ", 0, capacity))


def show_points(domains: list[Domain]) -> None:
    """One line per point, newest first for each VM (sections 2 and 8). Damaged ones are told at the end."""
    damaged = []
    for domain in domains:
        for name in domain.store.names(f"points/{domain.scope}/"):
            try:
                print(described(domain.document(name, 0)))
            except RescueError as problem:
                damaged.append(str(problem))
    if damaged:
        raise RescueError("; ".join(damaged))


def described(manifest: Any) -> str:
    """A point as people look for it: id, time, consistency, VM, disks."""
    owner, capture = manifest["owner"], manifest["capture"] or {}
    vm = f"{owner['namespace']}/{owner['vm']}".strip("/")
    taken, consistency = capture.get("time") or manifest["created"], capture.get("consistency", "-")
    disks = ", ".join(f"{volume['name']} ({volume['size_bytes']} bytes)" for volume in manifest["volumes"])
    return f"{manifest['point']}  {taken}  {consistency}  {vm}  {disks}"


def find_point(domains: list[Domain], point: str) -> tuple[Domain, str]:
    """The domain and the object's name of a point (section 2)."""
    match = re.fullmatch(r"([0-9a-f]{16})-(\d{6})-([0-9a-f]{16})", point)
    if match is None:
        raise RescueError(f"{point} is not the id of a point; the command 'points' lists those that there are")
    for domain in domains:
        folder = f"points/{domain.scope}/{match[1]}/"
        name = f"{folder}{999_999 - int(match[2]):06d}-{match[3]}"
        if name in domain.store.names(folder):
            return domain, name
    raise RescueError(f"There is no point {point}; the command 'points' lists those that there are")


def find_volume(manifest: Any, name: str | None) -> Any:
    """The volume of that name, or the only one."""
    found = [volume for volume in manifest["volumes"] if name in (None, volume["name"])]
    if len(found) != 1:
        names = " or ".join(volume["name"] for volume in manifest["volumes"])
        raise RescueError(f"The point has the volumes {names}; name one with --volume")
    return found[0]


def run(arguments: argparse.Namespace) -> None:
    """Carry out one command."""
    place: str = arguments.repository
    is_bucket = place.startswith("s3://")
    store = Bucket(place.removeprefix("s3://"), arguments.endpoint_url) if is_bucket else Folder(Path(place))
    secret = read_key(arguments.key_file)
    scopes = sorted({name.split("/")[1] for name in store.names("keys/")} - {"repository"})
    if not scopes:
        raise RescueError(f"{place} holds no repository: there is nothing below keys/")
    domains = [domain for scope in scopes if (domain := Domain(store, scope, secret)).data_keys]
    if not domains:
        raise RescueError("The repository was made with another key; no key set in it is wrapped for this one")
    if arguments.command == "points":
        show_points(domains)
        return
    domain, name = find_point(domains, arguments.point)
    if arguments.command == "machine":
        json.dump(domain.document(name, 1), sys.stdout, indent=2)
        return
    manifest = domain.document(name, 0)
    restore(Chunks(domain, manifest), find_volume(manifest, arguments.volume), arguments.disk)
    print(f"{arguments.disk} is whole: every byte of it was verified before it was written.")


def main(words: list[str] | None = None) -> int:
    """0 when it is done, 1 when it cannot be done, 2 for a wrong command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repository", required=True, metavar="DIRECTORY|s3://BUCKET/PREFIX", help="where it is")
    parser.add_argument("--endpoint-url", metavar="URL", help="the S3 service, if it is not AWS")
    parser.add_argument("--key-file", required=True, metavar="FILE", help="the repository key")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("points", help="list the restore points")
    machine = commands.add_parser("machine", help="print the VM's Kubernetes objects of a point as JSON")
    restoring = commands.add_parser("restore", help="write a volume of a point to a file or block device")
    for command in (machine, restoring):
        command.add_argument("point", metavar="POINT")
    restoring.add_argument("disk", metavar="DISK", type=Path)
    restoring.add_argument("--volume", metavar="NAME", help="which disk, where the point has several")
    try:
        run(parser.parse_args(words))
    except (RescueError, OSError) as problem:
        print(f"Error: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
