"""Export servers to pull from: KubeVirt's stand-in over a real QEMU bitmap, and one that answers as it is told."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from safehold.engine.changed_blocks.kubevirt_connection import TOKEN_HEADER, PullEndpoint
from sandbox.certificates import ServingFiles, serving_files
from sandbox.kubevirt.exports.server import ExportServer, Served

TOKEN = "s3cret"
SIZE_BYTES = 4 << 20
_BITMAP = "delta"


@dataclass(frozen=True)
class QemuPoint:
    """What a pulled backup offers: QEMU's NBD socket, and the bitmap of an incremental one."""

    socket: Path
    delta_context: str | None


def qemu_disk(folder: Path, *writes: tuple[int, int], since: tuple[tuple[int, int], ...] = ()) -> Path:
    """A disk with `writes` (offset, length), and a bitmap of those in `since`, which came later."""
    image = folder / "disk.qcow2"
    _run("qemu-img", "create", "-q", "-f", "qcow2", str(image), str(SIZE_BYTES))
    _write(image, 0x41, writes)
    _run("qemu-img", "bitmap", "--add", "-g", "65536", str(image), _BITMAP)
    _write(image, 0x42, since)
    return image


def _write(image: Path, pattern: int, writes: tuple[tuple[int, int], ...]) -> None:
    for offset, length in writes:
        _run("qemu-io", "-f", "qcow2", "-c", f"write -q -P {pattern} {offset} {length}", str(image))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def exported(image: Path, *, incremental: bool) -> Iterator[PullEndpoint]:
    """The disk, served as KubeVirt does."""
    socket = image.with_suffix(".sock")
    command = ["qemu-nbd", "--persistent", "--shared=16", "--read-only", "-f", "qcow2", "-x", "root", "-k", str(socket)]
    command += ["-B", _BITMAP] if incremental else []
    process = subprocess.Popen([*command, "--fork", "--pid-file", str(image.with_suffix(".pid")), str(image)])
    assert process.wait(20) == 0
    context = f"qemu:dirty-bitmap:{_BITMAP}" if incremental else None
    try:
        with _serving(QemuPoint(socket, context), serving_files(image.parent / "tls", "export")) as endpoint:
            yield endpoint
    finally:
        _run("kill", image.with_suffix(".pid").read_text().strip())


@contextmanager
def _serving(point: QemuPoint, files: ServingFiles) -> Iterator[PullEndpoint]:
    """The stand-in's server, with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    server = ExportServer(Served(export="backup", token=TOKEN, point=lambda: point))
    try:
        asyncio.run_coroutine_threadsafe(server.start(files), loop).result(20)
        yield endpoint_at(server.base, files.authority)
        asyncio.run_coroutine_threadsafe(server.stop(), loop).result(20)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def endpoint_at(base: str, ca: str, token: str = TOKEN) -> PullEndpoint:
    """The endpoint of the disk `root` of a server."""
    return PullEndpoint(map_url=f"{base}/exports/root/map", data_url=f"{base}/exports/root/data", ca=ca, token=token)


@dataclass(frozen=True)
class Reply:
    """An answer; one that is cut announces more than it sends."""

    body: bytes = b""
    status: int = 200
    cut: bool = False


Map = Callable[[int], Reply]
Data = Callable[[int, int], Reply]


def page(*extents: tuple[int, int, int], following: int | None = None, words: str = "") -> Reply:
    """A page of a map: extents of (offset, length, type), and where the next page begins."""
    rows = [{"offset": o, "length": n, "type": t, "description": words} for o, n, t in extents]
    return Reply(json.dumps({"extents": rows or None, "next_offset": following}).encode())


def content(offset: int, length: int) -> Reply:
    """A disk of SIZE_BYTES, each of whose bytes tells the 64 KiB that it is in."""
    end = min(offset + length, SIZE_BYTES)
    return Reply(bytes((position >> 16) & 0xFF for position in range(offset, end)))


@dataclass
class ToldServer:
    """Answers as it is told, to whoever has the token; `requests` are the paths with their queries."""

    map: Map = lambda _: page((0, SIZE_BYTES, 0))
    data: Data = content
    token: str = TOKEN
    requests: list[str] = field(default_factory=list)

    def reply(self, path: str, token: str | None) -> Reply:
        """The answer to one request."""
        self.requests.append(path)
        if token != self.token:
            return Reply(status=401)
        url = urlsplit(path)
        query = {name: int(values[0]) for name, values in parse_qs(url.query).items()}
        if url.path.endswith("/map"):
            return self.map(query["offset"])
        return self.data(query["offset"], query["length"])


@contextmanager
def told(server: ToldServer, folder: Path) -> Iterator[PullEndpoint]:
    """The server, running with a certificate of its own."""
    files = serving_files(folder / "tls", "told")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            reply = server.reply(self.path, self.headers.get(TOKEN_HEADER))
            self.send_response(reply.status)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            if reply.body:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
            if reply.cut:
                self.close_connection = True
            else:
                self.wfile.write(b"0\r\n\r\n")

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.certificate, files.key)
    listener.socket = tls.wrap_socket(listener.socket, server_side=True)
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    try:
        yield endpoint_at(f"https://127.0.0.1:{listener.server_port}", files.authority)
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
