"""nbdkit's side of an export: passes reads on to the program that has the keys.

It runs in the Python that nbdkit was built with, so it imports nothing of Safehold, and knows no secret.
"""

import errno
import queue
import socket
import struct

import nbdkit

API_VERSION = 2
SIZE, READ = b"S", b"R"
REQUEST = struct.Struct(">cHQI")
"""What is asked, the disk's number, offset and length. `safehold.files.export` answers with ANSWER, then the bytes."""
ANSWER = struct.Struct(">q")
"""How many bytes follow, or the disk's size; below 0, nothing can be read there."""

_settings: dict[str, str] = {}
_idle: "queue.LifoQueue[socket.socket]" = queue.LifoQueue()
"""Connections that nobody uses now; there are as many as reads are under way at once."""


def config(key: str, value: str) -> None:
    """Take `backend=SOCKET` from the command line."""
    _settings[key] = value


def thread_model() -> int:
    """Reads wait for the network, so many at once are welcome."""
    return int(nbdkit.THREAD_MODEL_PARALLEL)


def open(readonly: bool) -> int:  # noqa: A001, ARG001 - nbdkit's name, and what it passes
    """The disk's number, which is the export's name."""
    return int(nbdkit.export_name())


def get_size(disk: int) -> int:
    """The disk's size in bytes."""
    return _ask(SIZE, disk)


def pread(disk: int, buffer: bytearray, offset: int, flags: int) -> None:  # noqa: ARG001 - what nbdkit passes
    """Fill the buffer."""
    _ask(READ, disk, offset, buffer)


def _ask(what: bytes, disk: int, offset: int = 0, buffer: "bytearray | None" = None) -> int:
    try:
        connection = _idle.get_nowait()
    except queue.Empty:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.connect(_settings["backend"])
    length = len(buffer) if buffer is not None else 0
    connection.sendall(REQUEST.pack(what, disk, offset, length))
    head = bytearray(ANSWER.size)
    _fill(connection, head)
    (count,) = ANSWER.unpack(head)
    if count < 0:
        _idle.put(connection)
        nbdkit.set_error(errno.EIO)
        raise OSError(errno.EIO, "the restore point cannot be read there")
    if buffer is not None:
        _fill(connection, buffer)
    _idle.put(connection)
    return int(count)


def _fill(connection: socket.socket, buffer: bytearray) -> None:
    view = memoryview(buffer)
    while view:
        received = connection.recv_into(view)
        if received == 0:
            nbdkit.set_error(errno.EIO)
            raise OSError(errno.EIO, "the program that reads the restore point has ended")
        view = view[received:]
