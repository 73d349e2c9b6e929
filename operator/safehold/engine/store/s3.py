"""S3-compatible object stores, through botocore: boto3 has nothing more for clients, and takes 50 ms to import.

Only PUT, GET with Range, LIST (v2), DELETE and multipart uploads are used, so that every implementation will do.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

import stamina
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

from safehold.engine.store.base import Body, ObjectEntry, UnfinishedUpload
from safehold.engine.store.calls import Calls, code_of
from safehold.engine.store.client import READ_SECONDS, S3Place, client_of
from safehold.errors import ObjectMissingError, StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import (
        CompletedPartTypeDef,
        GetObjectRequestTypeDef,
        ListMultipartUploadsRequestTypeDef,
        ListObjectsV2RequestTypeDef,
    )

_BODY_ATTEMPTS = 4
_PAGE = 1000
_BEHIND_THE_END = {"InvalidRange", "416"}
"""Answers to a range that begins where the object ends, or behind."""


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
        self._calls = Calls(place.bucket, place.endpoint_url)
        self._client = self._calls.make("Connecting to the store", lambda: client_of(place))
        self._client.meta.events.register("before-send.s3", self._count)
        self._client.meta.events.register("after-call.s3", self._read_clock)

    def put(self, name: str, body: Body) -> None:
        """One PUT."""
        self._calls.make(
            f"Writing {name}",
            lambda: self._client.put_object(Bucket=self._place.bucket, Key=self._prefix + name, Body=_sendable(body)),
        )

    def start_upload(self, name: str) -> "S3Upload":
        """A multipart upload, begun with its first part."""
        return S3Upload(self._client, self._place.bucket, self._prefix + name, self._calls)

    def get(self, name: str) -> bytes:
        """One GET, and one more each time that the answer breaks off."""
        for attempt in stamina.retry_context(on=_BodyLostError, attempts=_BODY_ATTEMPTS, timeout=4 * READ_SECONDS):
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
            page = self._calls.make(f"Listing {prefix}", lambda: self._client.list_objects_v2(**request))
            contents = page.get("Contents", [])
            for found in contents:
                yield ObjectEntry(found["Key"].removeprefix(self._prefix), found["Size"], found["LastModified"])
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]
            left = None if left is None else left - len(contents)

    def delete(self, name: str) -> None:
        """One DELETE."""
        self._calls.make(
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
            page = self._calls.make(
                "Listing unfinished uploads", lambda: self._client.list_multipart_uploads(**request)
            )
            for found in page.get("Uploads", []):
                yield UnfinishedUpload(found["Key"].removeprefix(self._prefix), found["UploadId"], found["Initiated"])
            if not page.get("IsTruncated"):
                return
            request["KeyMarker"], request["UploadIdMarker"] = page["NextKeyMarker"], page["NextUploadIdMarker"]

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """One AbortMultipartUpload."""
        with contextlib.suppress(ObjectMissingError):
            self._calls.make(
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
            if code_of(problem) not in _BEHIND_THE_END:
                raise

    @contextlib.contextmanager
    def _body(self, name: str, offset: int = 0, length: int | None = None) -> "Iterator[StreamingBody]":
        """What a GET answers with. A store that ignores a range is found by the length."""
        what = f"Reading {name}"
        request: GetObjectRequestTypeDef = {"Bucket": self._place.bucket, "Key": self._prefix + name}
        if length is not None:
            request["Range"] = f"bytes={offset}-{offset + length - 1}"
        answer = self._calls.make(what, lambda: self._client.get_object(**request))
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

    def _count(self, request: Any, **_: object) -> None:
        if request.method == "PUT":
            with self._lock:
                self._sent += int(request.headers.get("Content-Length", 0))

    def _read_clock(self, http_response: Any, **_: object) -> None:
        if told := http_response.headers.get("date"):
            self._clock = (parsedate_to_datetime(told), time.monotonic())


class S3Upload:
    """A multipart upload of one object."""

    def __init__(self, client: "S3Client", bucket: str, key: str, calls: Calls) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._calls = calls
        self._begin = threading.Lock()
        self._id: str | None = None
        self._parts: dict[int, str] = {}
        self._sizes: dict[int, int] = {}

    def put_part(self, number: int, body: Body) -> None:
        """One UploadPart; the first to come begins the upload."""
        upload = self._started()
        answer = self._calls.make(
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
            self._calls.make(
                f"Completing {self._key}",
                lambda: self._client.complete_multipart_upload(
                    Bucket=self._bucket, Key=self._key, UploadId=upload, MultipartUpload={"Parts": parts}
                ),
            )
        except StoreError as problem:
            if code_of(problem) != "NoSuchUpload" or not self._is_complete():
                raise

    def abort(self) -> None:
        """One AbortMultipartUpload. What cannot be aborted is left to the bucket's lifecycle."""
        if self._id is not None:
            with contextlib.suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)

    def _is_complete(self) -> bool:
        """Whether the object is there with all its bytes."""
        page = self._calls.make(
            f"Looking for {self._key}",
            lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=self._key, MaxKeys=1),
        )
        wanted = (self._key, sum(self._sizes.values()))
        return any((found["Key"], found["Size"]) == wanted for found in page.get("Contents", []))

    def _started(self) -> str:
        with self._begin:
            if self._id is None:
                answer = self._calls.make(
                    f"Beginning {self._key}",
                    lambda: self._client.create_multipart_upload(Bucket=self._bucket, Key=self._key),
                )
                self._id = answer["UploadId"]
            return self._id


def _sendable(body: Body) -> bytes:
    """The body as the stubs want it. botocore also sends a bytearray, and a copy would cost 8 MiB for every part."""
    return cast("bytes", body)
