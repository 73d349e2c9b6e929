"""What S3 stores refuse, and networks do, as Safehold's errors: each with a reason and something to do."""

import secrets
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from safehold.engine.repository import prove_access
from safehold.engine.store.client import S3Place
from safehold.engine.store.connection import AddressPolicy
from safehold.engine.store.failures import error_of
from safehold.engine.store.s3 import S3Store
from safehold.errors import (
    BucketMissingError,
    ObjectMissingError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from safehold.reasons import Reason
from sandbox.objectstore.server import ObjectStore

PROFILE = "[default]\naws_access_key_id = SHNOBODY00000000\naws_secret_access_key = not-the-secret-of-anybody\n"


@pytest.fixture
def profile(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a credentials file."""

    def write(text: str) -> Path:
        path = tmp_path / "credentials"
        path.write_text(text)
        return path

    return write


def list_once(place: S3Place) -> None:
    """The first call that every run makes."""
    list(S3Store(place).list(""))


def test_a_bucket_that_does_not_exist(object_store: ObjectStore, profile: Callable[[str], Path]) -> None:
    """The bucket is named, and that it could be created."""
    credentials = profile(object_store.admin.profile())
    with pytest.raises(BucketMissingError, match="The bucket nowhere does not exist; create it"):
        list_once(S3Place(bucket="nowhere", endpoint_url=object_store.endpoint_url, credentials_file=credentials))


def test_credentials_that_nobody_has(object_store: ObjectStore, profile: Callable[[str], Path]) -> None:
    """The sentence says what to check and holds no part of the credentials."""
    object_store.create_bucket("failures")
    place = S3Place(bucket="failures", endpoint_url=object_store.endpoint_url, credentials_file=profile(PROFILE))
    with pytest.raises(StoreDeniedError, match="check the access key") as caught:
        list_once(place)
    assert caught.value.reason is Reason.ACCESS_DENIED
    assert "not-the-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("actions", "writable", "allowed"),
    [
        (["Read:failures", "List:failures"], False, True),
        (["Read:failures", "List:failures"], True, False),
        (["Read:failures", "List:failures", "Write:failures"], True, True),
        (["Write:failures"], False, False),
    ],
)
def test_what_an_identity_may_do_is_proven(
    object_store: ObjectStore,
    profile: Callable[[str], Path],
    actions: list[str],
    writable: bool,
    allowed: bool,
) -> None:
    """A check of access does what runs will do, no more and no less."""
    object_store.create_bucket("failures")
    identity = object_store.add_identity(f"id-{len(actions)}-{writable}", actions)
    place = S3Place(
        bucket="failures",
        prefix="access",
        endpoint_url=object_store.endpoint_url,
        credentials_file=profile(identity.profile()),
    )
    if allowed:
        prove_access(S3Store(place), writable=writable)
    else:
        with pytest.raises(StoreDeniedError):
            prove_access(S3Store(place), writable=writable)


@pytest.mark.parametrize(
    "text",
    ["", "[other]\naws_access_key_id = a", "[default]\naws_access_key_id = a", "aws_secret_access_key = s3cret", "\0"],
)
def test_a_malformed_credentials_file_is_refused_without_quoting_it(profile: Callable[[str], Path], text: str) -> None:
    """No other credentials are looked for in its place, and no line of it is shown."""
    with pytest.raises(StoreDeniedError, match="The credentials file is malformed") as caught:
        S3Store(S3Place(bucket="b", credentials_file=profile(text)))
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def free_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_endpoint_where_nobody_listens(profile: Callable[[str], Path]) -> None:
    """After bounded retries, the endpoint is named."""
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(StoreUnavailableError, match=f"{endpoint} does not answer") as caught:
        list_once(S3Place(bucket="failures", endpoint_url=endpoint, credentials_file=profile(PROFILE)))
    assert caught.value.retryable
    assert caught.value.reason is Reason.ENDPOINT_UNREACHABLE


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"])
def test_a_local_endpoint_is_refused_when_the_connection_is_made(
    object_store: ObjectStore, profile: Callable[[str], Path], host: str
) -> None:
    """Whatever name leads there: the address of the connection counts. Also proves that botocore uses our guard."""
    port = object_store.endpoint_url.rpartition(":")[2]
    place = S3Place(
        bucket="failures",
        endpoint_url=f"http://{host}:{port}",
        credentials_file=profile(object_store.admin.profile()),
        addresses=AddressPolicy(allow_local=False),
    )
    with pytest.raises(StoreError, match="is not allowed: found a local address") as caught:
        list_once(place)
    assert caught.value.reason is Reason.ENDPOINT_NOT_ALLOWED


def test_the_api_servers_address_is_refused(object_store: ObjectStore, profile: Callable[[str], Path]) -> None:
    """A tenant's target cannot make a worker talk to the API server."""
    place = S3Place(
        bucket="failures",
        endpoint_url=object_store.endpoint_url,
        credentials_file=profile(object_store.admin.profile()),
        addresses=AddressPolicy(forbidden=("127.0.0.1",)),
    )
    with pytest.raises(StoreError, match="the API server's address"):
        list_once(place)


@pytest.mark.parametrize(
    ("address", "refused"),
    [
        ("127.0.0.1", True),
        ("169.254.169.254", True),
        ("::1", True),
        ("fe80::1%eth0", True),
        ("::ffff:169.254.169.254", True),
        ("0.0.0.0", True),  # noqa: S104 - an address to refuse
        ("224.0.0.1", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
    ],
)
def test_which_addresses_are_refused(address: str, refused: bool) -> None:
    """Loopback, link-local (instance credentials), and what is named; private networks are fine."""
    policy = AddressPolicy(allow_local=False, forbidden=("10.0.0.1",))
    if refused:
        with pytest.raises(StoreError):
            policy.check("store.example", address)
    else:
        policy.check("store.example", address)


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchBucket", 404, BucketMissingError),
        ("NoSuchKey", 404, ObjectMissingError),
        ("404", 404, ObjectMissingError),
        ("SignatureDoesNotMatch", 403, StoreDeniedError),
        ("ExpiredToken", 400, StoreDeniedError),
        ("", 401, StoreDeniedError),
        ("SlowDown", 503, StoreUnavailableError),
        ("RequestTimeTooSkewed", 403, StoreUnavailableError),
        ("", 502, StoreUnavailableError),
        ("TooManyRequests", 429, StoreUnavailableError),
        ("PermanentRedirect", 301, StoreError),
        ("EntityTooSmall", 400, StoreError),
    ],
)
def test_codes_are_classified(code: str, status: int, kind: type[StoreError]) -> None:
    """What may succeed later is retryable, and only that."""
    problem = error_of("Writing x", code, status, "bucket")
    assert type(problem) is kind
    assert problem.retryable == (kind is StoreUnavailableError)


@contextmanager
def http_server(answer: Callable[[BaseHTTPRequestHandler, int], None]) -> Iterator[str]:
    """A server whose n-th answer `answer` writes."""
    count = 0
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal count
            with lock:
                count += 1
                number = count
            answer(self, number)

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_an_answer_that_breaks_off_is_asked_for_again(profile: Callable[[str], Path]) -> None:
    """A connection that ends in the middle of a body costs a repetition, not the run."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * (1000 if number > 2 else 400))

    with http_server(answer) as endpoint:
        store = S3Store(S3Place(bucket="b", endpoint_url=endpoint, credentials_file=profile(PROFILE)))
        assert store.get("object") == b"x" * 1000


def test_an_answer_that_always_breaks_off_is_given_up(profile: Callable[[str], Path]) -> None:
    """Nothing is repeated for ever."""
    asked = []

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        asked.append(number)
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x")

    with http_server(answer) as endpoint:
        store = S3Store(S3Place(bucket="b", endpoint_url=endpoint, credentials_file=profile(PROFILE)))
        with pytest.raises(StoreUnavailableError, match="broke off"):
            store.get("object")
    assert len(asked) == 4


def test_a_stream_that_breaks_off_goes_on_behind_what_came(profile: Callable[[str], Path]) -> None:
    """Every answer ends after 700 bytes: each brings a piece more, so the stream comes to its end."""
    body = secrets.token_bytes(5000)
    asked = []

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        first, last = map(int, handler.headers["Range"].removeprefix("bytes=").split("-"))
        asked.append(first)
        handler.send_response(206)
        handler.send_header("Content-Length", str(last + 1 - first))
        handler.end_headers()
        handler.wfile.write(body[first : min(last + 1, first + 700)])

    with http_server(answer) as endpoint:
        store = S3Store(S3Place(bucket="b", endpoint_url=endpoint, credentials_file=profile(PROFILE)))
        assert list(store.stream_range("object", 10, [500] * 9)) == [body[10 + n * 500 :][:500] for n in range(9)]
    assert asked == list(range(10, 4510, 500))


def test_a_store_that_is_busy_is_asked_again(profile: Callable[[str], Path]) -> None:
    """SlowDown is no failure until it lasts."""

    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        busy = b"<Error><Code>SlowDown</Code></Error>"
        body = busy if number < 3 else b"the object"
        handler.send_response(503 if number < 3 else 200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with http_server(answer) as endpoint:
        store = S3Store(S3Place(bucket="b", endpoint_url=endpoint, credentials_file=profile(PROFILE)))
        assert store.get("object") == b"the object"


def test_a_web_page_is_no_store(profile: Callable[[str], Path]) -> None:
    """An endpoint that answers something else says so."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        body = b"<html><p>Welcome</html>"
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    with http_server(answer) as endpoint, pytest.raises(StoreError, match="does not speak S3"):
        list_once(S3Place(bucket="b", endpoint_url=endpoint, credentials_file=profile(PROFILE)))


def test_a_server_that_ignores_ranges_is_noticed(profile: Callable[[str], Path]) -> None:
    """Bytes from the wrong place are never taken for the right ones."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"x" * 1000)

    with http_server(answer) as endpoint:
        store = S3Store(S3Place(bucket="b", endpoint_url=endpoint, credentials_file=profile(PROFILE)))
        with pytest.raises(StoreError, match="ignores ranges"):
            store.get_range("object", 10, 10)
