"""What the engine needs of an object store: five calls every S3 implementation has, and nothing conditional."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

Body = bytes | bytearray


@dataclass(frozen=True, slots=True)
class ObjectEntry:
    """A line of a listing; `modified` is by the store's clock."""

    name: str
    size_bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """An object whose parts the store keeps, and charges for, though nobody completed or aborted it."""

    name: str
    token: str
    started: datetime


class PartialUpload(Protocol):
    """An object that is sent in parts. It does not exist before `complete`; parts may be sent by several threads."""

    def put_part(self, number: int, body: Body) -> None:
        """Send part `number`, counted from 1. The same part may be sent again after an error."""

    def complete(self) -> None:
        """Make the object exist with all parts in the order of their numbers. May be called again after an error."""

    def abort(self) -> None:
        """Give up and let the store drop the parts; does not raise when they are gone already."""


class ObjectStore(Protocol):
    """A folder of objects, safe to use from several threads.

    Every call raises StoreError or one of its kinds: BucketMissingError, StoreDeniedError, StoreUnavailableError (the
    only retryable one; implementations have retried it themselves, with bounds), ObjectMissingError.
    Names are relative to the repository. What was put is seen by `get` and `list` at once.
    """

    def put(self, name: str, body: Body) -> None:
        """Create the object, all or nothing. Putting the same bytes again is harmless."""

    def start_upload(self, name: str) -> PartialUpload:
        """Begin an object in parts; every part but the last has at least 5 MiB."""

    def get(self, name: str) -> bytes:
        """The whole object; ObjectMissingError if there is none."""

    def get_range(self, name: str, offset: int, length: int) -> bytes:
        """`length` bytes from `offset`, fewer or none where the object ends; ObjectMissingError if there is none."""

    def stream_range(self, name: str, offset: int, sizes: Sequence[int]) -> Iterator[bytes]:
        """The same with one request in pieces of these sizes, for what is too large to hold.

        Where the object ends, a piece is short, or there are fewer.
        """

    def list(self, prefix: str, *, limit: int | None = None) -> Iterator[ObjectEntry]:
        """The objects whose names begin with `prefix`, in the order of their names, at most `limit`."""

    def delete(self, name: str) -> None:
        """Remove the object; no error if there is none."""

    def unfinished_uploads(self, prefix: str) -> Iterator[UnfinishedUpload]:
        """The uploads of names that begin with `prefix` that were begun and neither completed nor aborted."""

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """Drop the parts of an upload of anybody's; no error if it has ended meanwhile."""

    def time(self) -> datetime:
        """The store's own clock, with time zone; after at least one other call."""

    def bytes_sent(self) -> int:
        """Bytes of objects sent so far, retries included."""

    def bytes_received(self) -> int:
        """Bytes of objects received so far."""
