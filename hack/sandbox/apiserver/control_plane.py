"""The parts of the server, put together."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from sandbox.apiserver.admission.chain import AdmissionChain
from sandbox.apiserver.admission.escalation import EscalationCheck
from sandbox.apiserver.admission.limits import LimitRanger
from sandbox.apiserver.admission.namespaces import NamespaceLifecycle
from sandbox.apiserver.admission.operations import Plugin
from sandbox.apiserver.admission.quota import QuotaEnforcement
from sandbox.apiserver.admission.service_accounts import ServiceAccountTokens
from sandbox.apiserver.admission.storage_classes import DefaultStorageClass
from sandbox.apiserver.admission.webhooks import WebhookCaller
from sandbox.apiserver.auth.authentication import Authenticator
from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.escalation import EscalationGuard
from sandbox.apiserver.auth.reviews import Reviewer
from sandbox.apiserver.auth.tokens import TokenIssuer
from sandbox.apiserver.auth.users import MASTERS, UserInfo
from sandbox.apiserver.builtins import builtin_registry
from sandbox.apiserver.crds import DefinitionObserver, DefinitionStatus
from sandbox.apiserver.deletions import ObjectDeleter
from sandbox.apiserver.journal import FileJournal
from sandbox.apiserver.kubeconfig import admin_token
from sandbox.apiserver.registry import Registry, Resource
from sandbox.apiserver.requests import WriteRequest
from sandbox.apiserver.store import Store, StoreEvent
from sandbox.apiserver.writer import ObjectWriter
from sandbox.certificates import signing_key

ISSUER = "https://kubernetes.default.svc.cluster.local"
ADMIN = UserInfo("kubernetes-admin", groups=(MASTERS,))
CONTROLLER_MANAGER = UserInfo("system:kube-controller-manager", groups=(MASTERS,))
"""As whom the server's own controllers write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What may be chosen about a server."""

    namespace_delay_seconds: float = 5.0
    """How long a namespace that ends keeps its content; the real namespace controller's queue waits as long."""
    bookmark_seconds: float = 60.0
    """Time between bookmarks of a watch that asked for them."""
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


class ControlPlane:
    """Store, registry, admission, writers and auth of one cluster, as the handlers and controllers use them."""

    def __init__(self, state: Path, settings: ServerSettings) -> None:
        self.settings = settings
        self.journal = FileJournal(state / "objects.jsonl")
        self.store = Store(self.journal)
        self.journal.restore(self.store)
        self.registry: Registry = builtin_registry()
        self.definitions = DefinitionObserver(self.store, self.registry)
        self.admin_token = admin_token(state / "admin.token")
        self.tokens = TokenIssuer(ISSUER, self.store, signing_key(state / "service-accounts.key"))
        self.authenticator = Authenticator({self.admin_token: ADMIN}, self.tokens)
        self.authorizer = Authorizer(self.store)
        self.reviewer = Reviewer(self.authorizer, self.authenticator)
        self.webhooks = WebhookCaller(self.store)
        self.watches: set[asyncio.Queue[StoreEvent | None]] = set()
        """The queues of open watches."""
        admission = AdmissionChain(
            self._mutating_plugins(), [QuotaEnforcement(self.store, self.registry)], self.webhooks
        )
        self.writer = ObjectWriter(self.store, admission)
        self.deleter = ObjectDeleter(self.store, admission)

    def _mutating_plugins(self) -> tuple[Plugin, ...]:
        return (
            NamespaceLifecycle(self.store),
            DefaultStorageClass(self.store),
            ServiceAccountTokens(self.store),
            LimitRanger(self.store),
            DefinitionStatus(self.registry),
            EscalationCheck(EscalationGuard(self.store, self.authorizer)),
        )

    def now(self) -> datetime:
        """The server's time."""
        return self.settings.clock()

    def request_for(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        *,
        subresource: str = "",
        manager: str = "kube-controller-manager",
    ) -> WriteRequest:
        """A write of the server's own controllers."""
        version = resource.version(resource.storage_version)
        if version is None:
            version = resource.versions[0]
        return WriteRequest(
            resource=resource,
            version=version,
            namespace=namespace,
            name=name,
            subresource=subresource,
            user=CONTROLLER_MANAGER,
            manager=manager,
            now=self.now(),
            field_validation="Ignore",
        )

    def end_watches(self) -> None:
        """End every open watch; their clients connect again when the server is back."""
        for queue in self.watches:
            queue.put_nowait(None)

    async def close(self) -> None:
        """Release files and connections."""
        await self.webhooks.close()
        self.journal.close()
