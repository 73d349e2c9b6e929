"""Calls of botocore, whose errors become Safehold's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    HTTPClientError,
    InvalidRegionError,
    NoCredentialsError,
    ParamValidationError,
    ProfileNotFound,
    SSLError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError

from safehold.engine.store.failures import error_of
from safehold.errors import SafeholdError, StoreDeniedError, StoreError, StoreUnavailableError

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Calls:
    """Makes calls to the store of this bucket at this endpoint."""

    bucket: str
    endpoint_url: str | None

    def make(self, what: str, call: Callable[[], T]) -> T:
        """The call's answer, or a StoreError that says what was being done; a guarded connection raises its own."""
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
        return error_of(what, code, status, self.bucket)

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
                f"The certificate of {self.endpoint_url} is not trusted", remedy="name the CA that issued it"
            )
        if isinstance(problem, BotoConnectionError | HTTPClientError):
            return StoreUnavailableError(
                f"{what}: the endpoint {self.endpoint_url or 'of AWS'} does not answer",
                found=type(problem).__name__,
                remedy="check the endpoint's address, and that this network may reach it",
            )
        if isinstance(problem, ResponseParserError):
            return self._no_store(what)
        if isinstance(problem, ParamValidationError | InvalidRegionError):
            return StoreError(f"{what}: bucket or region is malformed", found=" ".join(str(problem).split()))
        return StoreError(f"{what}: the request failed", found=type(problem).__name__)


def code_of(problem: StoreError) -> str | None:
    """The store's own word for a refusal."""
    refusal = problem.__cause__
    return refusal.response.get("Error", {}).get("Code") if isinstance(refusal, ClientError) else None
