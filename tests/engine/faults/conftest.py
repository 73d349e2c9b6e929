"""What goes wrong: a network that spoils requests and answers of a real S3 server; what happens during a run."""

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store
from sandbox.objectstore.server import ObjectStore

_BUCKET = "faults"
_DRIP_BYTES = 64 * 1024
_DRIP_SECONDS = 0.002
_HOP_HEADERS = {"expect", "connection", "content-length", "transfer-encoding"}


class Fault(Enum):
    """What happens to one request."""

    NONE = auto()
    BUSY = auto()
    """503 SlowDown; the server never sees it."""
    BUSY_AFTERWARDS = auto()
    """503, although it has been carried out."""
    TORN = auto()
    """The connection ends in the middle of the request's body."""
    UNANSWERED = auto()
    """It is carried out, and the connection ends before the answer."""
    FORGOTTEN = auto()
    """404 NoSuchUpload: some stores say so of an upload that is complete."""
    REPLAYED = auto()
    """It reaches the server twice; the second answer is returned."""
    CUT = auto()
    """The connection ends in the middle of the answer's body."""
    SHORT = auto()
    """The answer has half of its body, and headers that fit."""
    SLOW = auto()
    """The answer comes in drips."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request as the network sees it. `attempt` counts equal ones from 1."""

    method: str
    path: str
    attempt: int
    body_bytes: int


Weather = Callable[[Exchange], Fault]


class Network:
    """The way to the server. Good, until it is told otherwise."""

    def __init__(self, upstream: str) -> None:
        self.endpoint_url = ""
        self.upstream = urlsplit(upstream).netloc
        self._weather: Weather = lambda _: Fault.NONE
        self._faults: Counter[Fault] = Counter()
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def once(self, fault: str, *, of: Callable[[Exchange], bool], then: str = "NONE") -> None:
        """From now on the first try of such requests meets one fault, and the later ones another; by their names."""
        first, later = Fault[fault], Fault[then]
        self._weather = lambda exchange: (first if exchange.attempt == 1 else later) if of(exchange) else Fault.NONE

    def always(self, fault: str, *, of: Callable[[Exchange], bool]) -> None:
        """From now on every such request meets the fault."""
        self._weather = lambda exchange: Fault[fault] if of(exchange) else Fault.NONE

    def count(self, fault: str) -> int:
        """How often it has happened."""
        return self._faults[Fault[fault]]

    def fault_for(self, method: str, path: str, body_bytes: int) -> Fault:
        """Decide, and count."""
        with self._lock:
            self._attempts[method, path] += 1
            fault = self._weather(Exchange(method, path, self._attempts[method, path], body_bytes))
            self._faults[fault] += 1
            return fault


class _Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    network: Network

    def do_any(self) -> None:
        """Pass the request on and the answer back, with the fault that is due."""
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.network.fault_for(self.command, self.path, len(body))
        if fault is Fault.BUSY:
            self._answer(503, [], _BUSY)
        elif fault is Fault.FORGOTTEN:
            self._answer(404, [], _FORGOTTEN)
        elif fault is Fault.TORN:
            self._forward(body[: len(body) // 2], whole=False)
            self._hang_up()
        else:
            if fault is Fault.REPLAYED:
                self._forward(body)
            status, headers, content = self._forward(body)
            self._answer_with(fault, status, headers, content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any  # noqa: N815 - names that http.server looks for

    def log_message(self, *_: object) -> None:
        """Keep quiet."""

    def _answer_with(self, fault: Fault, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        if fault is Fault.UNANSWERED:
            self._hang_up()
        elif fault is Fault.BUSY_AFTERWARDS:
            self._answer(503, [], _BUSY)
        elif fault is Fault.SHORT:
            self._answer(status, headers, content[: len(content) // 2])
        elif fault is Fault.CUT:
            self._answer(status, headers, content[: len(content) // 2], promised=len(content))
            self._hang_up()
        else:
            self._answer(status, headers, content, slowly=fault is Fault.SLOW)

    def _forward(self, body: bytes, *, whole: bool = True) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server says; nothing if the request is not sent whole."""
        connection = http.client.HTTPConnection(self.network.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() == "content-length" or name.lower() not in _HOP_HEADERS:
                    connection.putheader(name, value)
            connection.endheaders()
            connection.send(body)
            if not whole:
                return 0, [], b""
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()

    def _answer(
        self,
        status: int,
        headers: list[tuple[str, str]],
        content: bytes,
        *,
        promised: int | None = None,
        slowly: bool = False,
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_HEADERS:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content) if promised is None else promised))
        self.end_headers()
        step = _DRIP_BYTES if slowly else max(len(content), 1)
        for at in range(0, len(content), step):
            self.wfile.write(content[at : at + step])
            if slowly:
                time.sleep(_DRIP_SECONDS)

    def _hang_up(self) -> None:
        self.close_connection = True


_BUSY = b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

_FORGOTTEN = b"<?xml version='1.0'?><Error><Code>NoSuchUpload</Code><Message>No such upload.</Message></Error>"


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that has hung up is no news here."""


@pytest.fixture
def network(object_store: ObjectStore) -> Iterator[Network]:
    """A way to the S3 server, good until its weather is changed."""
    object_store.create_bucket(_BUCKET)
    network = Network(object_store.endpoint_url)
    handler = type("Handler", (_Handler,), {"network": network})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        network.endpoint_url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield network
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def open_store(network: Network, object_store: ObjectStore, tmp_path: Path) -> Callable[[], S3Store]:
    """Opens the store behind the network, with connections of its own; always the same place."""
    credentials = tmp_path / "credentials"
    credentials.write_text(object_store.admin.profile())

    def opened() -> S3Store:
        return S3Store(
            S3Place(
                bucket=_BUCKET, prefix=tmp_path.name, endpoint_url=network.endpoint_url, credentials_file=credentials
            )
        )

    return opened


class Meanwhile(threading.Event):
    """An event that is never set, but lets something happen when it is looked at for the n-th time."""

    def __init__(self, looks: int, happen: Callable[[], object]) -> None:
        super().__init__()
        self._left = looks
        self._happen = happen

    def is_set(self) -> bool:
        """Look, and let it happen if it is time."""
        self._left -= 1
        if self._left == 0:
            self._happen()
        return False


@pytest.fixture
def meanwhile() -> type[Meanwhile]:
    """Something that happens while a run is under way."""
    return Meanwhile
