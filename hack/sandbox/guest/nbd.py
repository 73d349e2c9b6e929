"""A read-only NBD client over a unix socket: structured replies and meta contexts, as QEMU's server speaks them."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.guest.errors import GuestError

ALLOCATION = "base:allocation"
"""Flags of an extent: 1 hole, 2 reads as zeroes."""
MAX_READ_BYTES = 32 << 20
"""QEMU's server refuses larger reads."""
_MAX_STATUS_BYTES = 1 << 31
_REQUEST_MAGIC, _REPLY_MAGIC, _OPTION_MAGIC = 0x25609513, 0x668E33EF, b"IHAVEOPT"
_FIXED_NEWSTYLE_NO_ZEROES = 3
_OPT_GO, _OPT_STRUCTURED_REPLY, _OPT_SET_META_CONTEXT = 7, 8, 10
_REP_ACK, _REP_INFO, _REP_META_CONTEXT, _REP_ERROR = 1, 3, 4, 1 << 31
_CMD_READ, _CMD_DISCONNECT, _CMD_BLOCK_STATUS = 0, 2, 7
_CHUNK_DATA, _CHUNK_BLOCK_STATUS, _CHUNK_ERROR, _CHUNK_DONE = 1, 5, 1 << 15, 1


@dataclass(frozen=True, slots=True)
class Extent:
    """A run of bytes with the same flags in one meta context."""

    offset: int
    length: int
    flags: int


@dataclass(slots=True)
class NbdClient:
    """One connection to one export; requests go one at a time."""

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter
    size_bytes: int = 0
    _contexts: dict[int, str] = field(default_factory=dict)
    _handle: int = 0

    @classmethod
    @asynccontextmanager
    async def connect(cls, socket: Path, export: str, contexts: Sequence[str] = ()) -> AsyncIterator[NbdClient]:
        """Opens an export with these meta contexts; GuestError if it is not served, or not with all of them."""
        try:
            reader, writer = await asyncio.open_unix_connection(socket)
        except OSError as error:
            raise GuestError(f"no NBD server answers: {error.strerror}") from error
        client = cls(reader, writer)
        try:
            await client._negotiate(export, contexts)
            yield client
            writer.write(client._request(_CMD_DISCONNECT, 0, 0))
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise GuestError(f"the NBD connection of export {export} was lost") from error
        finally:
            writer.close()

    async def read(self, offset: int, length: int) -> bytes:
        """The bytes of a range of at most MAX_READ_BYTES; holes read as zeroes."""
        self._writer.write(self._request(_CMD_READ, offset, length))
        found = bytearray(length)
        async for kind, payload in self._chunks():
            if kind == _CHUNK_DATA:
                start = struct.unpack(">Q", payload[:8])[0] - offset
                found[start : start + len(payload) - 8] = payload[8:]
        return bytes(found)

    async def extents(self, offset: int, length: int) -> dict[str, list[Extent]]:
        """Per context the extents from `offset` on; they may end before the range does, but cover at least a part."""
        self._writer.write(self._request(_CMD_BLOCK_STATUS, offset, min(length, _MAX_STATUS_BYTES)))
        found: dict[str, list[Extent]] = {}
        async for kind, payload in self._chunks():
            if kind == _CHUNK_BLOCK_STATUS:
                context = self._contexts[struct.unpack(">I", payload[:4])[0]]
                found[context] = _runs(payload[4:], offset)
        return found

    async def _negotiate(self, export: str, contexts: Sequence[str]) -> None:
        greeting = await self._reader.readexactly(18)
        if greeting[:16] != b"NBDMAGIC" + _OPTION_MAGIC:
            raise GuestError("the NBD server's greeting is not of the fixed newstyle")
        self._writer.write(struct.pack(">I", _FIXED_NEWSTYLE_NO_ZEROES))
        name = struct.pack(">I", len(export)) + export.encode()
        await self._option(_OPT_STRUCTURED_REPLY, b"")
        if contexts:
            queries = b"".join(struct.pack(">I", len(text)) + text.encode() for text in contexts)
            for payload in await self._option(
                _OPT_SET_META_CONTEXT, name + struct.pack(">I", len(contexts)) + queries, _REP_META_CONTEXT
            ):
                self._contexts[struct.unpack(">I", payload[:4])[0]] = payload[4:].decode()
            # An unknown context is left out of the answer without an error.
            if missing := set(contexts) - set(self._contexts.values()):
                raise GuestError(f"export {export} has no meta context {', '.join(sorted(missing))}")
        for payload in await self._option(_OPT_GO, name + struct.pack(">H", 0), _REP_INFO):
            if payload[:2] == b"\0\0":
                self.size_bytes = struct.unpack(">Q", payload[2:10])[0]

    async def _option(self, option: int, data: bytes, wanted: int = _REP_ACK) -> list[bytes]:
        """Sends an option; returns the payloads of the replies of that kind."""
        self._writer.write(_OPTION_MAGIC + struct.pack(">II", option, len(data)) + data)
        found = []
        while True:
            _, _, kind, length = struct.unpack(">QIII", await self._reader.readexactly(20))
            payload = await self._reader.readexactly(length)
            if kind & _REP_ERROR:
                raise GuestError(f"the NBD server refused option {option}: {payload.decode(errors='replace')}")
            if kind == wanted:
                found.append(payload)
            if kind == _REP_ACK:
                return found

    def _request(self, command: int, offset: int, length: int) -> bytes:
        self._handle += 1
        return struct.pack(">IHHQQI", _REQUEST_MAGIC, 0, command, self._handle, offset, length)

    async def _chunks(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            magic, flags, kind, handle, length = struct.unpack(">IHHQI", await self._reader.readexactly(20))
            payload = await self._reader.readexactly(length)
            if magic != _REPLY_MAGIC or handle != self._handle:
                raise GuestError("the NBD server answered something else than what was asked")
            if kind & _CHUNK_ERROR:
                raise GuestError(f"the NBD server reports error {struct.unpack('>I', payload[:4])[0]}")
            yield kind, payload
            if flags & _CHUNK_DONE:
                return


def _runs(payload: bytes, offset: int) -> list[Extent]:
    found = []
    for length, flags in struct.iter_unpack(">II", payload):
        found.append(Extent(offset, length, flags))
        offset += length
    return found
