"""Answers with the bytes of a volume: raw with ranges, gzipped, as an archive, or file by file."""

from __future__ import annotations

import asyncio
import html
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

from aiohttp import web

_CHUNK_BYTES = 1 << 20
_GZIP_LEVEL = 1


async def raw(request: web.Request, image: Path) -> web.StreamResponse:
    """GET, HEAD and, as recorded, POST, with one range; several ranges at once get the whole image."""
    size_bytes = await asyncio.to_thread(_size_of, image)
    try:
        wanted = request.http_range
    except ValueError:
        return _unsatisfiable(size_bytes)
    start, end, _ = wanted.indices(size_bytes)
    partial = wanted.start is not None or wanted.stop is not None
    if partial and start >= end:
        return _unsatisfiable(size_bytes)
    response = web.StreamResponse(status=206 if partial else 200, headers={"Accept-Ranges": "bytes"})
    response.content_type = "application/octet-stream"
    response.content_length = end - start
    if partial:
        response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size_bytes}"
    await response.prepare(request)
    if request.method != "HEAD":
        async for piece in _pieces(image, start, end):
            await response.write(piece)
    await response.write_eof()
    return response


async def gzipped(request: web.Request, image: Path) -> web.StreamResponse:
    """A stream of unknown length without ranges; a HEAD is refused, as recorded."""
    if request.method == "HEAD":
        return web.Response(status=400)
    response = web.StreamResponse(headers={"Content-Type": "application/x-gzip"})
    await response.prepare(request)
    packer = zlib.compressobj(_GZIP_LEVEL, wbits=31)
    async for piece in _pieces(image, 0, await asyncio.to_thread(_size_of, image)):
        if packed := await asyncio.to_thread(packer.compress, piece):
            await response.write(packed)
    await response.write(packer.flush())
    await response.write_eof()
    return response


async def archived(request: web.Request, folder: Path) -> web.StreamResponse:
    """A gzipped tar archive of the folder; a HEAD is refused like that of a gzipped image."""
    if request.method == "HEAD":
        return web.Response(status=400)
    response = web.StreamResponse(headers={"Content-Type": "application/x-gzip"})
    await response.prepare(request)
    tar = await asyncio.create_subprocess_exec(
        "tar", "-C", str(folder), "-cz", ".", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    assert tar.stdout is not None
    try:
        while piece := await tar.stdout.read(_CHUNK_BYTES):
            await response.write(piece)
    finally:
        if tar.returncode is None and not tar.stdout.at_eof():
            tar.kill()
        status = await tar.wait()
    if status != 0:
        # Too late for another status: a body without its end tells the client.
        raise ConnectionResetError(f"tar ended with status {status}")
    await response.write_eof()
    return response


async def browsed(request: web.Request, folder: Path, path: str) -> web.StreamResponse:
    """A file below the folder, or the list of a folder's entries; nothing that a link leads to outside."""
    target = await asyncio.to_thread(_inside, folder, path)
    if target is None:
        raise web.HTTPNotFound
    if await asyncio.to_thread(target.is_file):
        return await raw(request, target)
    names = await asyncio.to_thread(_entries, target)
    lines = [f'<a href="{quote(name)}">{html.escape(name)}</a>\n' for name in names]
    return web.Response(text=f"<pre>\n{''.join(lines)}</pre>\n", content_type="text/html")


def _inside(folder: Path, path: str) -> Path | None:
    """The file or folder that the path names, None if it does not exist or lies outside."""
    target = (folder / path).resolve()
    return target if target.is_relative_to(folder.resolve()) and (target.is_file() or target.is_dir()) else None


def _entries(folder: Path) -> list[str]:
    return [entry.name + ("/" if entry.is_dir() else "") for entry in sorted(folder.iterdir())]


async def _pieces(image: Path, start: int, end: int) -> AsyncIterator[bytes]:
    with image.open("rb") as stream:
        stream.seek(start)
        while start < end:
            piece = await asyncio.to_thread(stream.read, min(_CHUNK_BYTES, end - start))
            if not piece:
                raise ConnectionResetError(f"{image.name} became shorter while it was served")
            start += len(piece)
            yield piece


def _size_of(image: Path) -> int:
    with image.open("rb") as stream:
        return stream.seek(0, 2)


def _unsatisfiable(size_bytes: int) -> web.Response:
    return web.Response(status=416, headers={"Content-Range": f"bytes */{size_bytes}"})
