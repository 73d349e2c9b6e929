"""guestfish as a separate program: one appliance, to which commands are sent over a pipe.

What it prints may come from a hostile disk, so nothing is taken from its text but numbers and the appliance's own
names; file names and contents come over a pipe of their own, as bytes.
"""

import os
import secrets
import selectors
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

from safehold.errors import GuestFileError, ProgramError
from safehold.files.names import printable
from safehold.files.programs import Programs, environment, remedy

_READ_BYTES = 1024 * 1024
_LINE_BYTES = 8000
"""guestfish reads commands into 8 KiB."""
_END_SECONDS = 20
_ERROR = b"libguestfs: error: "


class RefusedError(GuestFileError):
    """The appliance refused a command; `what` is its message, made printable."""


class Guestfish:
    """A guestfish that runs one command after the other. Commands are of this program, arguments may be anything."""

    def __init__(self, programs: Programs, folder: Path) -> None:
        self._token = secrets.token_hex(8)
        self._count = 0
        self._is_busy = False
        self._text = b""
        self._complaints = b""
        self._data, writer = os.pipe()
        self.output = f"/dev/fd/{writer}"
        """The file to name where a command writes to one: what is written there, `stream` yields."""
        os.set_blocking(self._data, False)
        try:
            self._process = subprocess.Popen(
                [programs.guestfish],
                env=environment(folder),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=(writer,),
                bufsize=0,
                start_new_session=True,
            )
        except OSError as problem:
            os.close(self._data)
            raise ProgramError("guestfish does not start", found=problem.strerror, remedy=remedy()) from problem
        finally:
            os.close(writer)
        os.set_blocking(_pipe(self._process.stderr).fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(_pipe(self._process.stdout), selectors.EVENT_READ)
        self._selector.register(_pipe(self._process.stderr), selectors.EVENT_READ)
        self._selector.register(self._data, selectors.EVENT_READ)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End it; whatever it is doing, its appliance ends with it."""
        pipes = [_pipe(pipe) for pipe in (self._process.stdin, self._process.stdout, self._process.stderr)]
        pipes[0].close()
        if self._is_busy:
            self._process.kill()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._selector.close()
        os.close(self._data)
        for pipe in pipes[1:]:
            pipe.close()

    def run(self, command: str, *arguments: str | bytes) -> bytes:
        """Carry out a command and return what it printed; RefusedError says what the appliance said."""
        for _ in self.stream(command, *arguments):
            pass
        return self._text

    def stream(self, command: str, *arguments: str | bytes) -> Iterator[bytes]:
        """The same for a command that writes to `output`: yields what it writes. To be read to its end."""
        self._count += 1
        mark = f"{self._token}-{self._count}".encode()
        words = [command.encode(), *(_quoted(argument) for argument in arguments)]
        # The minus sign lets guestfish go on after a refusal.
        line = b"-" + b" ".join(words) + b"\n"
        if len(line) > _LINE_BYTES:
            raise GuestFileError("A path is too long for guestfish", expected=f"at most {_LINE_BYTES} bytes in all")
        self._text = self._complaints = b""
        self._is_busy = True
        try:
            _pipe(self._process.stdin).write(line + b"echo " + mark + b"\n")
        except BrokenPipeError:
            raise self._ended() from None
        yield from self._received(mark + b"\n")
        self._is_busy = False
        _, found, said = self._complaints.partition(_ERROR)
        if found:
            raise RefusedError(printable(said.strip().replace(b"\n", b" ")))

    def _received(self, mark: bytes) -> Iterator[bytes]:
        """What comes over the data's pipe until the mark is printed, and what is left in the pipe then."""
        while not self._text.endswith(mark):
            for key, _ in self._selector.select():
                if key.fileobj == self._data:
                    yield os.read(self._data, _READ_BYTES)
                elif key.fileobj is self._process.stderr:
                    self._hear()
                elif piece := os.read(key.fd, _READ_BYTES):
                    self._text += piece
                else:
                    raise self._ended()
        self._text = self._text[: -len(mark)]
        self._hear()
        with suppress(BlockingIOError):
            while piece := os.read(self._data, _READ_BYTES):
                yield piece

    def _hear(self) -> None:
        """Take what it complains about."""
        pipe = _pipe(self._process.stderr)
        with suppress(BlockingIOError):
            while piece := os.read(pipe.fileno(), _READ_BYTES):
                self._complaints += piece
                if len(self._complaints) > _READ_BYTES:
                    self._complaints = self._complaints[-_READ_BYTES:]

    def _ended(self) -> ProgramError:
        self._hear()
        said = self._complaints.strip().rpartition(b"\n")[2]
        return ProgramError("guestfish has ended before its work was done", found=printable(said) or "no message")


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _quoted(argument: str | bytes) -> bytes:
    """The argument between double quotes; what guestfish would take for something else is escaped."""
    escaped = bytearray(b'"')
    for byte in os.fsencode(argument):
        if byte == 0:
            raise GuestFileError("No path holds a zero byte")
        if byte < 0x20 or byte == 0x7F or byte in b'"\\':
            escaped += b"\\x%02x" % byte
        else:
            escaped.append(byte)
    return bytes(escaped + b'"')
