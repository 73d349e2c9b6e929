"""S3-compatible object stores, through botocore: boto3 has nothing more for clients, and takes 50 ms to import.

Only PUT, GET with Range, LIST (v2), DELETE and multipart uploads are used, so that every implementation will do.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

import stamina
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    IncompleteReadError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
    ReadTimeoutError,
    ResponseStreamingError,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError
from botocore.session import Session

from safehold.engine.store.base import Body, ObjectEntry, UnfinishedUpload
from safehold.engine.store.connection import AddressPolicy, guard_connections
from safehold.engine.store.credentials import Credentials, read_profile
from safehold.engine.store.failures import error_of
from safehold.errors import ObjectMissingError, SafeholdError, StoreDeniedError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        GetObjectRequestTypeDef,
        ListMultipartUploadsRequestTypeDef,
        ListObjectsV2RequestTypeDef,
    )

_CONNECT_SECONDS = 10
_READ_SECONDS = 60
_ATTEMPTS = 5
"""botocore's standard mode: exponential, with jitter, at most 20 s apart; only what may be repeated is."""
_BODY_ATTEMPTS = 4
_CONNECTIONS = 24
"""More than the engine's threads that talk to the store at once."""
_PAGE = 1000
_BEHIND_THE_END = {"InvalidRange", "416"}
"""Answers to a range that begins where the object ends, or behind."""
T = TypeVar("T")


class _Call(Protocol):
    """Makes a call of the client and translates what it raises; the text says what was being done."""

    def __call__(self, what: str, call: Callable[[], T]) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Place:
    """Where a repository is, and how it is reached. Without `credentials_file`, botocore looks for credentials."""

    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    force_path_style: bool = True
    ca_file: Path | None = None
    credentials_file: Path | None = None
    """An AWS shared credentials file with the profile `default`. If given, no other credentials are looked for."""
    addresses: AddressPolicy = field(default_factory=AddressPolicy)

    def __str__(self) -> str:
        place = f"s3://{self.bucket}/{self.prefix}".rstrip("/")
        return f"{place} at {self.endpoint_url}" if self.endpoint_url else place


class _BodyLostError(StoreUnavailableError):
    """An answer broke off in its body, which botocore does not repeat."""


class S3Store:
    """The ObjectStore of a prefix in a bucket."""

    def __init__(self, place: S3Place) -> None:
        self._place = place
        self._prefix = f"{place.prefix.strip('/')}/" if place.prefix.strip("/") else ""
        self._sent = self._received = 0
        self._lock = threading.Lock()
        self._clock: tuple[datetime, float] | None = None
        self._client = self._call("Connecting to the store", lambda: _client(place))
        guard_connections(self._client, place.addresses)
        self._client.meta.events.register("before-send.s3", self._count)
        self._client.meta.events.register("after-call.s3", self._read_clock)

    def put(self, name: str, body: Body) -> None:
        """One PUT."""
        self._call(
            f"Writing {name}",
            lambda: self._client.put_object(Bucket=self._place.bucket, Key=self._prefix + name, Body=_sendable(body)),
        )

    def start_upload(self, name: str) -> "S3Upload":
        """A multipart upload, begun with its first part."""
        return S3Upload(self._client, self._place.bucket, self._prefix + name, self._call)

    def get(self, name: str) -> bytes:
        """One GET, and one more each time that the answer breaks off."""
        for attempt in stamina.retry_context(on=_BodyLostError, attempts=_BODY_ATTEMPTS, timeout=4 * _READ_SECONDS):
            with attempt, self._body(name) as body:
                return body.read()
        raise AssertionError  # pragma: no cover - the loop returns or raises

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """One GET with Range (at least one byte)."""
        return b"".join(self.stream_range(name, offset, [length]))

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """One GET with Range, and one more from where an answer broke off, unless nothing comes several times."""
        done = in_vain = 0
        while done < len(sizes):
            try:
                for piece in self._pieces(name, offset, sizes[done:]):
                    yield piece
                    offset, done, in_vain = offset + len(piece), done + 1, 0
            except _BodyLostError:
                in_vain += 1
                if in_vain == _BODY_ATTEMPTS:
                    raise
            else:
                return

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """LIST in pages of up to 1000 names."""
        request: ListObjectsV2RequestTypeDef = {"Bucket": self._place.bucket, "Prefix": self._prefix + prefix}
        left = limit
        while left is None or left > 0:
            request["MaxKeys"] = min(left or _PAGE, _PAGE)
            page = self._call(f"Listing {prefix}", lambda: self._client.list_objects_v2(**request))
            contents = page.get("Contents", [])
            for found in contents:
                yield ObjectEntry(found["Key"].removeprefix(self._prefix), found["Size"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
            left = None if left is None else left - len(contents)

    def delete(self, name: str) -> None:
        """One DELETE."""
        self._call(
            f"Deleting {name}",
            lambda: self._client.delete_object(Bucket=self._place.bucket, Key=self._prefix + name),
        )

    def unfinished_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """ListMultipartUploads in pages of up to 1000."""
        request: ListMultipartUploadsRequestTypeDef = {
            "Bucket": self._place.bucket,
            "Prefix": self._prefix + prefix,
            "MaxUploads": _PAGE,
        }
        while True:
            page = self._call("Listing unfinished uploads", lambda: self._client.list_multipart_uploads(**request))
            for found in page.get("Uploads", []):
                yield UnfinishedUpload(found["Key"].removeprefix(self._prefix), found["UploadId"], found["Initiated"])
            if not page.get("IsTruncated"):
                return
            request["KeyMarker"], request["UploadIdMarker"] = page["NextKeyMarker"], page["NextUploadIdMarker"]

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """One AbortMultipartUpload."""
        with contextlib.suppress(ObjectMissingError):
            self._call(
                f"Aborting the upload of {upload.name}",
                lambda: self._client.abort_multipart_upload(
                    Bucket=self._place.bucket, Key=self._prefix + upload.name, UploadId=upload.token
                ),
            )

    def time(self) -> datetime:
        """The Date of the newest answer, moved on by our own clock since."""
        if self._clock is None:
            raise StoreError("The store tells no time", expected="a Date header in its answers")
        told, at = self._clock
        return told + timedelta(seconds=time.monotonic() - at)

    def bytes_sent(self) -> int:
        """Bytes of all bodies that were sent, those of repeated requests too."""
        return self._sent

    def bytes_received(self) -> int:
        """Bytes of all answers' bodies, as their headers told."""
        return self._received

    def _pieces(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        try:
            with self._body(name, offset, sum(sizes)) as body:
                for size in sizes:
                    piece = body.read(size)
                    if len(piece) < size:
                        body.read(1)  # raises unless the object ends here
                    if piece:
                        yield piece
        except StoreError as problem:
            if _code_of(problem) not in _BEHIND_THE_END:
                raise

    @contextlib.contextmanager
    def _body(self, name: str, offset: int = 0, length: int | None = None) -> "Iterator[StreamingBody]":
        """What a GET answers with. A store that ignores a range is found by the length."""
        what = f"Reading {name}"
        request: GetObjectRequestTypeDef = {"Bucket": self._place.bucket, "Key": self._prefix + name}
        if length is not None:
            request["Range"] = f"bytes={offset}-{offset + length - 1}"
        answer = self._call(what, lambda: self._client.get_object(**request))
        body, found = answer["Body"], answer.get("ContentLength", 0)
        with self._lock:
            self._received += found
        try:
            if length is not None and found > length:
                raise StoreError(f"{what}: the store ignores ranges", expected=length, found=found)
            yield body
        except (ReadTimeoutError, ResponseStreamingError, IncompleteReadError) as problem:
            raise _BodyLostError(f"{what}: the answer broke off", found=str(problem)) from problem
        finally:
            body.close()

    def _call(self, what: str, call: Callable[[], T]) -> T:
        try:
            return call()
        except ClientError as problem:
            raise self._refusal(what, problem) from problem
        except BotoCoreError as problem:
            raise self._translated(what, problem) from problem

    def _refusal(self, what: str, problem: ClientError) -> StoreError:
        told = problem.response.get("ResponseMetadata", {})
        code, status = problem.response.get("Error", {}).get("Code", ""), told.get("HTTPStatusCode", 0)
        # botocore makes 500 of an answer that it cannot parse; gateways in front of a store send pages with 502 to 504.
        if told.get("HTTPHeaders", {}).get("content-type", "").startswith("text/html") and status <= 500:
            return self._no_store(what)
        return error_of(what, code, status, self._place.bucket)

    @staticmethod
    def _no_store(what: str) -> StoreError:
        return StoreError(f"{what}: the endpoint does not speak S3", remedy="check the endpoint's address and port")

    def _translated(self, what: str, problem: BotoCoreError) -> SafeholdError:
        cause = problem.kwargs.get("error")
        if isinstance(cause, SafeholdError):  # from the guarded connection
            return cause
        if isinstance(problem, NoCredentialsError | CredentialRetrievalError | ProfileNotFound):
            return StoreDeniedError(
                "No credentials for the object store were found",
                remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or a web identity",
            )
        if isinstance(problem, SSLError):
            return StoreError(
                f"The certificate of {self._place.endpoint_url} is not trusted", remedy="name the CA that issued it"
            )
        if isinstance(problem, BotoConnectionError | HTTPClientError):
            return StoreUnavailableError(
                f"{what}: the endpoint {self._place.endpoint_url or 'of AWS'} does not answer",
                found=type(problem).__name__,
                remedy="check the endpoint's address, and that this network may reach it",
            )
        if isinstance(problem, ResponseParserError):
            return self._no_store(what)
        if isinstance(problem, ParamValidationError | InvalidRegionError):
            return StoreError(f"{what}: bucket or region is malformed", found=" ".join(str(problem).split()))
        return StoreError(f"{what}: the request failed", found=type(problem).__name__)

    def _count(self, request: Any, **_: object) -> None:
        if request.method == "PUT":
            with self._lock:
                self._sent += int(request.headers.get("Content-Length", 0))

    def _read_clock(self, http_response: Any, **_: object) -> None:
        if told := http_response.headers.get("date"):
            self._clock = (parsedate_to_datetime(told), time.monotonic())


class S3Upload:
    """A multipart upload of one object."""

    def __init__(self, client: "S3Client", bucket: str, key: str, call: "_Call") -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._call = call
        self._begin = threading.Lock()
        self._id: str | None = None
        self._parts: dict[int, str] = {}
        self._sizes: dict[int, int] = {}

    def put_part(self, number: int, body: Body) -> None:
        """One UploadPart; the first to come begins the upload."""
        upload = self._started()
        answer = self._call(
            f"Writing part {number} of {self._key}",
            lambda: self._client.upload_part(
                Bucket=self._bucket, Key=self._key, UploadId=upload, PartNumber=number, Body=_sendable(body)
            ),
        )
        self._parts[number] = answer["ETag"]
        self._sizes[number] = len(body)

    def complete(self) -> None:
        """One CompleteMultipartUpload. Repeated after its answer was lost, some stores know no such upload any more."""
        upload = self._started()
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": self._parts[number]} for number in sorted(self._parts)
        ]
        try:
            self._call(
                f"Completing {self._key}",
                lambda: self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=upload, MultipartUpload={"Parts": parts}
                ),
            )
        except StoreError as problem:
            if _code_of(problem) != "NoSuchUpload" or not self._is_complete():
                raise

    def abort(self) -> None:
        """One AbortMultipartUpload. What cannot be aborted is left to the bucket's lifecycle."""
        if self._id is not None:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)

    def _is_complete(self) -> bool:
        """Whether the object is there with all its bytes."""
        page = self._call(
            f"Looking for {self._key}",
            lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key, MaxKeys=1),
        )
        wanted = (self._key, sum(self._sizes.values()))
        return any((found["Key"], found["Size"]) == wanted for found in page.get("Contents", []))

    def _started(self) -> str:
        with self._begin:
            if self._id is None:
                answer = self._call(
                    f"Beginning {self._key}",
                    lambda: self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key),
                )
                self._id = answer["UploadId"]
            return self._id


def _code_of(problem: StoreError) -> str | None:
    """The store's own word for a refusal."""
    refusal = problem.__cause__
    return refusal.response.get("Error", {}).get("Code") if isinstance(refusal, ClientError) else None


def _sendable(body: Body) -> bytes:
    """The body as the stubs want it. botocore also sends a bytearray, and a copy would cost 8 MiB for every part."""
    return cast("bytes", body)


def _client(place: S3Place) -> "S3Client":
    credentials = read_profile(place.credentials_file) if place.credentials_file else Credentials()
    session = Session()
    client = session.create_client(
        "s3",
        endpoint_url=place.endpoint_url,
        # Signatures need some region; stores other than AWS seldom care which.
        region_name=place.region or session.get_config_variable("region") or "us-east-1",
        verify=str(place.ca_file) if place.ca_file else None,
        config=Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            max_pool_connections=_CONNECTIONS,
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            s3={
                "addressing_style": "path" if place.force_path_style else "auto",
                # SHA-256 of bodies would cost 1 s of CPU time per GiB. TLS covers them on the way, and their own tags
                # for ever; without TLS whoever can change a body can as well swallow the request and answer for us.
                "payload_signing_enabled": False,
            },
            # botocore's own checksums come as trailers, which many stores refuse; every sealed object has its tag.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
        **credentials,
    )
    return cast("S3Client", client)
