"""Disks of a restore point as NBD exports on a Unix socket, which only this user reaches."""

import socketserver
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from safehold.engine.access.disk import PointDisk
from safehold.errors import ProgramError, SafeholdError
from safehold.files.programs import Programs, environment, remedy

_READ = b"R"
_REQUEST = struct.Struct(">cHQI")
_ANSWER = struct.Struct(">q")
"""What nbd_plugin.py asks, and how it is answered; it has the same definitions, as it can import nothing of ours."""
_PLUGIN = Path(__file__).with_name("nbd_plugin.py")
_START_SECONDS = 60
_END_SECONDS = 10
_POLL_SECONDS = 0.02


class DiskExport:
    """nbdkit, serving disks under the numbers 0, 1, … as long as this is open. Nothing can be written.

    nbdkit passes reads on to this process over a second socket: keys and credentials stay here. `folder` is private,
    and its path short (a socket's name has 107 bytes at most).
    """

    def __init__(self, disks: Sequence[PointDisk], folder: Path, programs: Programs) -> None:
        self.socket = folder / "nbd"
        self.failure: SafeholdError | None = None
        """Why a read failed last. Who reads over NBD learns only that one did."""
        self._disks = disks
        self._folder = folder
        self._programs = programs
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            self._serve(opening)
            self._start_nbdkit(opening)
            self._open = opening.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def answer(self, what: bytes, number: int, offset: int, length: int) -> tuple[int, bytes]:
        """The number that is answered to a request, and the bytes that follow."""
        disk = self._disks[number]
        if what != _READ:
            return disk.size_bytes, b""
        try:
            content = disk.read(offset, length)
        except SafeholdError as problem:
            self.failure = problem
            return -1, b""
        return len(content), content

    def _serve(self, opening: ExitStack) -> None:
        server = _Backend(self, self._folder / "reads")
        opening.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, name="reads")
        thread.start()
        opening.callback(thread.join)
        opening.callback(server.shutdown)

    def _start_nbdkit(self, opening: ExitStack) -> None:
        said = self._folder / "nbdkit.log"
        options = ("--foreground", "--readonly", "--exit-with-parent", "--unix", str(self.socket))
        with said.open("wb") as log:
            process = subprocess.Popen(
                [self._programs.nbdkit, *options, "python", _PLUGIN, f"backend={self._folder / 'reads'}"],
                env=environment(self._folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        opening.callback(_end, process)
        began = time.monotonic()
        while not self.socket.exists():
            if process.poll() is not None or time.monotonic() - began > _START_SECONDS:
                last = said.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
                raise ProgramError("nbdkit does not start", found=last or "no message", remedy=remedy())
            time.sleep(_POLL_SECONDS)


class _Backend(socketserver.ThreadingUnixStreamServer):
    """Answers nbdkit; each of its connections has a thread, which ends with it."""

    def __init__(self, export: DiskExport, path: Path) -> None:
        self.export = export
        super().__init__(str(path), _Answering)


class _Answering(socketserver.StreamRequestHandler):
    server: _Backend

    def handle(self) -> None:
        with suppress(ConnectionError):  # nbdkit has ended meanwhile
            while len(head := self.rfile.read(_REQUEST.size)) == _REQUEST.size:
                number, content = self.server.export.answer(*_REQUEST.unpack(head))
                self.wfile.write(_ANSWER.pack(number))
                self.wfile.write(content)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
