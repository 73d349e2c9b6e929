"""What a store's refusals mean: S3 error codes and statuses as Safehold's errors."""

from safehold.errors import (
    BucketMissingError,
    ObjectMissingError,
    StoreDeniedError,
    StoreError,
    StoreUnavailableError,
)
from safehold.reasons import Reason

_DENIED = {
    "AccessDenied",
    "AccountProblem",
    "AllAccessDisabled",
    "AuthorizationQueryParametersError",
    "ExpiredToken",
    "Forbidden",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnauthorizedAccess",
}
_LATER = {
    "BandwidthLimitExceeded",
    "InternalError",
    "OperationAborted",
    "RequestLimitExceeded",
    "RequestTimeout",
    "RequestTimeTooSkewed",
    "ServiceUnavailable",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequests",
}
_ELSEWHERE = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301", "307"}
_CLOCK = "RequestTimeTooSkewed"


def error_of(what: str, code: str, status: int, bucket: str) -> StoreError:
    """The error for a call that the store has answered with this code and HTTP status."""
    found = f"{code} (HTTP {status})"
    if code == "NoSuchBucket":
        return BucketMissingError(
            f"The bucket {bucket} does not exist", remedy="create it, or correct the bucket's name or the endpoint"
        )
    if code in {"NoSuchKey", "NoSuchUpload", "404", "NotFound"}:
        return ObjectMissingError(f"{what}: the object does not exist")
    if code in _ELSEWHERE or status in {301, 307}:
        return StoreError(f"{what}: the bucket {bucket} is in another region", found=found, remedy="set the region")
    if code == _CLOCK:
        return StoreUnavailableError(
            f"{what}: our clock and the store's differ", found=found, remedy="set the node's clock"
        )
    if code in _DENIED or status in {401, 403}:
        return StoreDeniedError(
            f"{what}: the store refuses the credentials or what they may do",
            found=found,
            remedy="check the access key, its secret, and its policy for this bucket",
        )
    if code in _LATER or status == 429 or status >= 500:
        return StoreUnavailableError(
            f"{what}: the store cannot serve the request now", found=found, reason=Reason.STORE_ERROR
        )
    return StoreError(f"{what}: the store refused the request", found=found)
