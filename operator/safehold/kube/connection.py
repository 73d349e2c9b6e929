"""One HTTP connection to the Kubernetes API: credentials, requests, and its refusals as our errors."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from safehold.errors import (
    ClusterError,
    ClusterUnavailableError,
    ConflictError,
    ForbiddenError,
    HistoryError,
    InvalidObjectError,
    NamespaceEndingError,
    NotFoundError,
    NotServedError,
)

TYPE_BY_STATUS: Mapping[int, type[ClusterError]] = {
    401: ClusterUnavailableError,  # a rotated token: the next request reads the new one
    403: ForbiddenError,
    404: NotFoundError,
    409: ConflictError,
    410: HistoryError,
    422: InvalidObjectError,
    429: ClusterUnavailableError,
}
"""Which error an HTTP status becomes; 5xx is ClusterUnavailableError, all others ClusterError."""

JSON = "application/json"
UNSERVED = "the server could not find the requested resource"
"""What a 404 says where no object is missing, but its kind."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A pooled client. `headers` go with every request (impersonation)."""

    api: ApiClient
    timeout_seconds: float
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    async def open(cls, kubeconfig: Path | None, *, timeout_seconds: float) -> Self:
        """From a kubeconfig, or with the pod's service account, whose token is read again every minute."""
        configuration = Configuration()
        try:
            if kubeconfig is None:
                config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]  # untyped upstream
            else:
                await config.load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]  # untyped upstream
        except config.ConfigException as error:
            source = f"kubeconfig {kubeconfig}" if kubeconfig else "the pod's service account"
            raise ClusterError(
                f"no credentials for the Kubernetes API in {source}", found=str(error), remedy="name a kubeconfig"
            ) from error
        # What the library meets with in a file that is empty, or that is something else.
        except (yaml.YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
            raise ClusterError(f"{kubeconfig} is no kubeconfig that can be read", remedy="name another one") from error
        return cls(ApiClient(configuration), timeout_seconds)

    async def close(self) -> None:
        """Give the pooled sockets back."""
        await self.api.close()  # type: ignore[no-untyped-call]  # untyped upstream

    @property
    def host(self) -> str:
        """The API server's URL."""
        return str(self.api.configuration.host)

    async def credentials(self) -> dict[str, Any]:
        """Server and credentials, as `kopf.ConnectionInfo` names them; the token as it is now."""
        configuration = self.api.configuration
        found: dict[str, Any] = {"server": self.host, "insecure": not configuration.verify_ssl}
        files = {"ca_path": "ssl_ca_cert", "certificate_path": "cert_file", "private_key_path": "key_file"}
        found |= {name: value for name, field in files.items() if (value := getattr(configuration, field))}
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            scheme, _, secret = token.partition(" ")
            found |= {"scheme": scheme.capitalize(), "token": secret}
        return found

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int | bool] | None = None,
        body: object = None,
        content_type: str = JSON,
        accept: str = JSON,
        doing: str,
        timeout_seconds: float | None = None,
    ) -> aiohttp.ClientResponse:
        """Send one request; the caller reads the answer. `doing` is the error's sentence: "get Pod a/b"."""
        method, url, headers, _, _ = await self.api.param_serialize(
            method,
            path,
            query_params=[(key, _text(value)) for key, value in (query or {}).items()],
            header_params={"Accept": accept, "Content-Type": content_type, **self.headers},
            auth_settings=["BearerToken"],
        )
        timeout = aiohttp.ClientTimeout(
            total=timeout_seconds or self.timeout_seconds, connect=min(10.0, self.timeout_seconds)
        )
        try:
            answer = await self.api.rest_client.request(  # type: ignore[no-untyped-call]  # untyped upstream
                method, url, headers=headers, body=body, _request_timeout=timeout
            )
            response: aiohttp.ClientResponse = answer.response
            if response.status >= 400:
                raise refusal(doing, response.status, await response.text())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(doing, error) from error
        return response

    @asynccontextmanager
    async def websocket(
        self, path: str, query: Sequence[tuple[str, str]], protocols: Sequence[str], *, doing: str
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket for the time of the block; a refused handshake is the error that a refused request is."""
        _, url, headers, _, _ = await self.api.param_serialize(
            "GET", path, query_params=list(query), header_params=dict(self.headers), auth_settings=["BearerToken"]
        )
        client = self.api.rest_client
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=client.ssl_context)) as session:
            try:
                opening = session.ws_connect(
                    url, headers=headers, protocols=protocols, heartbeat=self.timeout_seconds, proxy=client.proxy
                )
                socket = await asyncio.wait_for(opening, self.timeout_seconds)
            except aiohttp.WSServerHandshakeError as error:
                # The client keeps nothing of the answer but its status.
                raise error_type(error.status)(
                    f"the Kubernetes API refused to {doing}", found=f"HTTP {error.status}"
                ) from error
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise unavailable(doing, error) from error
            async with socket:
                yield socket

    async def json(self, method: str, path: str, *, doing: str, **options: Any) -> Any:
        """Send one request and decode its JSON answer; an empty answer is None."""
        response = await self.send(method, path, doing=doing, **options)
        try:
            content = await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise unavailable(doing, error) from error
        return json.loads(content) if content else None


def unavailable(doing: str, error: BaseException) -> ClusterUnavailableError:
    """The error for a request that got no answer."""
    return ClusterUnavailableError(f"the Kubernetes API did not answer to: {doing}", found=str(error) or repr(error))


def error_type(status: int) -> type[ClusterError]:
    """Which error an HTTP status of 400 and above is."""
    return TYPE_BY_STATUS.get(status, ClusterUnavailableError if status >= 500 else ClusterError)


def refusal(doing: str, status: int, content: str) -> ClusterError:
    """The error for an answer of 400 and above, whose content is a `v1/Status` or plain text."""
    try:
        answer = json.loads(content)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "Status":
        return _refusal_without_status(doing, status, content)
    details = answer.get("details") or {}
    if status == 404 and answer.get("message") == UNSERVED:
        return _not_served(doing)
    causes = [cause.get("reason") for cause in details.get("causes") or []]
    kind = NamespaceEndingError if "NamespaceTerminating" in causes else error_type(status)
    return kind(f"the Kubernetes API refused to {doing}", found=answer.get("message") or f"HTTP {status}")


def _refusal_without_status(doing: str, status: int, content: str) -> ClusterError:
    if status == 404:  # The real server answers "404 page not found" for a group or resource that it does not serve.
        return _not_served(doing)
    return error_type(status)(f"the Kubernetes API refused to {doing}", found=f"HTTP {status} {content[:200]}".strip())


def _not_served(doing: str) -> NotServedError:
    return NotServedError(
        f"the Kubernetes API does not serve the resource needed to {doing}",
        remedy="install the component that brings it (KubeVirt, the CSI snapshot controller, Safehold's CRDs)",
    )


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
