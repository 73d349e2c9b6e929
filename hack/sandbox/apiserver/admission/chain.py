"""The order of admission: plugins, mutating webhooks, (validation by the writer), validating webhooks, quota."""

from collections.abc import Sequence

from sandbox.apiserver.admission.operations import Operation, Plugin
from sandbox.apiserver.admission.webhooks import WebhookCaller


class AdmissionChain:
    """Everything that may change or refuse a write."""

    def __init__(self, mutating: Sequence[Plugin], validating: Sequence[Plugin], webhooks: WebhookCaller) -> None:
        self._mutating = mutating
        self._validating = validating
        self._webhooks = webhooks

    async def mutate(self, operation: Operation) -> bool:
        """Before validation. True if a webhook changed the object, which must then be pruned and defaulted again."""
        for plugin in self._mutating:
            plugin.admit(operation)
        return await self._webhooks.mutate(operation)

    async def validate(self, operation: Operation) -> None:
        """After validation: nothing may change any more."""
        await self._webhooks.validate(operation)
        for plugin in self._validating:
            plugin.admit(operation)
