"""Every error of Safehold.

    SafeholdError
    ├── UsageError              the command line or a file named on it is wrong
    ├── SpecError               an object in the cluster cannot be carried out as written
    ├── KeyMaterialError        a repository key is malformed or is not the repository's
    ├── VolumeError             a disk could not be read or written to its end
    ├── ChangedBlocksError      what is said to have changed on a disk cannot be believed, so the disk is read
    ├── InterruptedRunError     the program was told to stop before its work was done (retryable)
    ├── ExpiredRunError         a run took so long that it may not commit any more (retryable)
    ├── IntegrityError          bytes are not what was written
    │   └── UnknownFormatError  bytes are of a format version that this release does not read
    ├── StoreError              the object store refused or failed
    │   ├── ObjectMissingError      no such object
    │   ├── BucketMissingError      no such bucket
    │   ├── StoreDeniedError        credentials or permissions
    │   └── StoreUnavailableError   no answer, or "slow down" (retryable)
    ├── PointError              a restore point does not exist or is not the asker's
    ├── GuestFileError          a file, or file system, in a disk of a restore point is not there or not of that kind
    ├── ProgramError            a program of the system that a command needs is missing or fails
    └── ClusterError            the Kubernetes API refused or failed
        ├── NotFoundError
        ├── NotServedError      no such kind: the component that brings it is not installed
        ├── ConflictError       changed meanwhile, or exists already (retryable)
        ├── HistoryError        the server has forgotten the version that was asked for (retryable)
        ├── InvalidObjectError  the object breaks its schema, or a guarded patch did not apply
        ├── ForbiddenError
        │   └── NamespaceEndingError   nothing can be created in a namespace that ends
        └── ClusterUnavailableError   no answer, throttled, 5xx (retryable)

Each error says what was done, what was expected, what was found and what to do, as far as it knows.
"""

from typing import ClassVar

from safehold.reasons import Reason


class SafeholdError(Exception):
    """Base of all: one sentence for people, a reason for machines, and whether the same call may succeed later."""

    retryable: ClassVar[bool] = False
    default_reason: ClassVar[Reason] = Reason.INTERNAL_ERROR

    def __init__(
        self,
        what: str,
        *,
        expected: object = None,
        found: object = None,
        remedy: str | None = None,
        reason: Reason | None = None,
    ) -> None:
        self.what = what
        self.expected = expected
        self.found = found
        self.remedy = remedy
        self.reason = reason or self.default_reason
        super().__init__(what)

    def __str__(self) -> str:
        sentence = self.what
        facts = [
            f"{name} {fact}" for name, fact in (("expected", self.expected), ("found", self.found)) if fact is not None
        ]
        if facts:
            sentence += ": " + ", ".join(facts)
        return f"{sentence}; {self.remedy}" if self.remedy else sentence


class UsageError(SafeholdError):
    """The command line, or a file that it names, is wrong."""

    default_reason = Reason.INVALID_SPEC


class SpecError(SafeholdError):
    """An object in the cluster cannot be carried out as it is written; only its author can change that."""

    default_reason = Reason.INVALID_SPEC


class KeyMaterialError(SafeholdError):
    """A repository key is malformed (InvalidKey) or does not open this repository (WrongKey)."""

    default_reason = Reason.INVALID_KEY


class VolumeError(SafeholdError):
    """A disk or device could not be read or written to its end."""

    default_reason = Reason.VOLUME_ERROR


class ChangedBlocksError(SafeholdError):
    """An answer about changed blocks is incomplete, malformed or of another disk: nothing of it is used."""

    default_reason = Reason.CHANGED_BLOCKS_REFUSED


class InterruptedRunError(SafeholdError):
    """The program was told to stop before its work was done; the next run goes on where it ended."""

    retryable = True
    default_reason = Reason.INTERRUPTED


class ExpiredRunError(SafeholdError):
    """A run took longer than the collector waits for, so it must not write what others build on; a new run may."""

    retryable = True
    default_reason = Reason.RUN_EXPIRED


class IntegrityError(SafeholdError):
    """Bytes are not what was written; names the object."""

    default_reason = Reason.DAMAGED


class UnknownFormatError(IntegrityError):
    """Bytes carry a format version that this release does not read."""

    default_reason = Reason.UNKNOWN_FORMAT


class StoreError(SafeholdError):
    """The object store refused a call or failed in it."""

    default_reason = Reason.STORE_ERROR


class ObjectMissingError(StoreError):
    """The bucket has no object of that name."""


class BucketMissingError(StoreError):
    """The endpoint has no bucket of that name."""

    default_reason = Reason.BUCKET_NOT_FOUND


class StoreDeniedError(StoreError):
    """The store refuses the credentials, or what they may do."""

    default_reason = Reason.ACCESS_DENIED


class StoreUnavailableError(StoreError):
    """The store does not answer, or asks to be asked later."""

    retryable = True
    default_reason = Reason.ENDPOINT_UNREACHABLE


class PointError(SafeholdError):
    """A restore point does not exist, or is not of the VM, namespace or cluster that was named."""

    default_reason = Reason.POINT_NOT_FOUND


class GuestFileError(SafeholdError):
    """A disk of a restore point has no such file or file system, or it is not what was asked for."""

    default_reason = Reason.INVALID_SPEC


class ProgramError(SafeholdError):
    """A program of the system, beside Python, is missing or fails."""

    default_reason = Reason.NOT_INSTALLED


class ClusterError(SafeholdError):
    """The Kubernetes API refused a call or failed in it."""

    default_reason = Reason.API_REFUSED


class NotFoundError(ClusterError):
    """The object does not exist."""


class NotServedError(ClusterError):
    """The API server knows no such kind: the component that brings it is not installed."""

    default_reason = Reason.NOT_INSTALLED


class ConflictError(ClusterError):
    """The object changed meanwhile, or exists already."""

    retryable = True


class HistoryError(ClusterError):
    """The server has forgotten the version from which a list or a watch was to go on: list again."""

    retryable = True


class InvalidObjectError(ClusterError):
    """The API server does not accept the object as it would be: schema, CEL rules, immutable fields."""

    default_reason = Reason.INVALID_SPEC


class ForbiddenError(ClusterError):
    """The API server does not allow the call; RBAC, quota, or a namespace that ends."""

    default_reason = Reason.FORBIDDEN


class NamespaceEndingError(ForbiddenError):
    """The namespace is being deleted, so nothing can be created in it any more."""


class ClusterUnavailableError(ClusterError):
    """The API server does not answer, throttles, or failed itself."""

    retryable = True
