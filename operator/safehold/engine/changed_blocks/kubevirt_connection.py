"""HTTPS to KubeVirt's export server, which serves the disks of one VirtualMachineBackup in pull mode.

Facts that this relies on: the token goes in a header; ranges are query parameters (there is no Range header); a data
reply is 200 and chunked without a length, and a failure in mid-stream cuts the connection; 503 means that the way to
the guest is being made again, after which the same bytes are served, since the point in time does not change.
"""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeVar

import stamina
import urllib3
from urllib3.exceptions import HTTPError, SSLError

from safehold.errors import ChangedBlocksError, SafeholdError, VolumeError

TOKEN_HEADER = "x-kubevirt-export-token"  # noqa: S105 (a header's name)
PATIENCE_SECONDS = 120.0
"""How long one request is repeated: an exporter that was lost is made anew and connected within a minute or two."""
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 60.0
_MOST_CONNECTIONS = 8
"""As many as there are threads that read; each costs KubeVirt a connection of its own to QEMU."""
_PIECE_BYTES = 128 << 10
"""What a cut connection can cost of what had come already."""
_PASSING = frozenset({429, 502, 503, 504})
_MEANINGS = {
    400: "it does not understand the range",
    401: "it does not accept the token",
    403: "it forbids access",
    404: "it serves no such disk",
}
Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class PullEndpoint:
    """Where one disk is served. `ca` is the PEM bundle that the server's certificate must lead to."""

    map_url: str
    data_url: str
    ca: str
    token: str = field(repr=False)


class _TransferError(Exception):
    """A request that ended without its whole answer."""


class _PassingError(_TransferError):
    """The same request may be answered later."""


class PullConnection:
    """Connections to one endpoint, kept alive and shared by threads.

    A map that is not answered is a ChangedBlocksError, data that is not answered a VolumeError.
    """

    def __init__(self, endpoint: PullEndpoint, *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._endpoint = endpoint
        self._patience_seconds = patience_seconds
        self._pool = urllib3.PoolManager(
            maxsize=_MOST_CONNECTIONS,
            block=True,
            retries=False,
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            headers={TOKEN_HEADER: endpoint.token},
            cert_reqs=ssl.CERT_REQUIRED,
            ca_cert_data=endpoint.ca,
        )

    def close(self) -> None:
        """End all connections."""
        self._pool.clear()

    def map_page(self, offset: int, page_size: int) -> bytes:
        """One page of the map, as JSON."""
        return self._patiently(lambda: self._page(offset, page_size), ChangedBlocksError)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset`; answers with how many bytes there were before the disk ended.

        A connection that is cut is made again for the rest.
        """
        done = 0

        def read_rest() -> int:
            nonlocal done
            for piece in self._data(offset + done, len(buffer) - done):
                buffer[done : done + len(piece)] = piece
                done += len(piece)
            return done

        return self._patiently(read_rest, VolumeError)

    def _page(self, offset: int, page_size: int) -> bytes:
        with self._answer(self._endpoint.map_url, offset=offset, page_size=page_size) as answer:
            return answer.read()

    def _data(self, offset: int, length: int) -> Iterator[bytes]:
        with self._answer(self._endpoint.data_url, offset=offset, length=length) as answer:
            while length and (piece := answer.read(min(length, _PIECE_BYTES))):
                length -= len(piece)
                yield piece
            if answer.read(1):  # reading to the end also leaves the connection fit for the next request
                raise _TransferError("it sends more than was asked for")

    @contextmanager
    def _answer(self, url: str, **query: int) -> Iterator[urllib3.BaseHTTPResponse]:
        try:
            fields = {name: str(number) for name, number in query.items()}
            answer = self._pool.request("GET", url, fields=fields, preload_content=False)
            try:
                _refuse(answer.status)
                yield answer
            except BaseException:
                answer.close()
                raise
            answer.release_conn()
        except SSLError as problem:
            if isinstance(problem.args[0], ssl.SSLCertVerificationError):
                raise _TransferError(f"its certificate is wrong: {problem.args[0].verify_message}") from problem
            raise _PassingError(str(problem)) from problem
        except HTTPError as problem:
            raise _PassingError(f"the connection failed: {type(problem).__name__}") from problem

    def _patiently(self, call: Callable[[], Answer], error: type[SafeholdError]) -> Answer:
        try:
            for attempt in stamina.retry_context(
                on=_PassingError, attempts=None, timeout=self._patience_seconds, wait_initial=0.2, wait_max=5.0
            ):
                with attempt:
                    return call()
        except _TransferError as problem:
            raise error(f"KubeVirt's export server does not serve the disk: {problem}") from problem
        raise AssertionError  # the loop returns or raises


def _refuse(status: int) -> None:
    if status != HTTPStatus.OK:
        error = _PassingError if status in _PASSING else _TransferError
        raise error(_MEANINGS.get(status, f"it answers {status}"))
