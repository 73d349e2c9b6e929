"""Application hooks under way. Their outcomes are in memory until the status has them: a restart begins them again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import stamina

from safehold.api.durations import parse_duration
from safehold.api.hooks import Hook, HookPhase
from safehold.errors import ClusterError, ClusterUnavailableError, ForbiddenError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.exec import CommandEnd, run_in_pod
from safehold.kube.kinds import POD
from safehold.plan.backup.facts import HookFacts, HookOutcome
from safehold.plan.backup.steps import StartHook
from safehold.plan.selection import as_query

_LINE_LIMIT = 300
"""Characters kept of the last line of stderr."""
_ATTEMPTS = 5
"""How often a server that does not answer is asked before a hook fails for it; nothing has begun then."""

T = TypeVar("T")
_Key = tuple[HookPhase, str]
Wake = Callable[[str, str], None]
"""Looks at the VMBackup of that namespace and name again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAccount:
    """The operator's own ServiceAccount, to be named to people who have to give it rights."""

    namespace: str
    name: str

    @property
    def hooks_role(self) -> str:
        """The chart's ClusterRole with the rights that hooks need, for binding in a tenant's namespace."""
        return f"{self.name}-hooks"


@dataclass(slots=True)
class HookRuns:
    """The hooks of all runs, by the run's id; of one run one is under way at a time."""

    cluster: Cluster
    account: OperatorAccount
    wake: Wake
    clock: Callable[[], float] = time.monotonic
    _runs: dict[str, dict[_Key, asyncio.Task[HookOutcome]]] = field(default_factory=dict)

    def start(self, step: StartHook) -> None:
        """Begin a hook, unless it is under way; what else is under way for this run is given up."""
        hooks = self._runs.setdefault(step.run, {})
        key = (step.phase, step.hook.name)
        if key in hooks and not hooks[key].done():
            return
        for other in [other for other, task in hooks.items() if not task.done()]:
            hooks.pop(other).cancel()
        task = asyncio.create_task(self._run(step), name=f"hook {step.namespace}/{step.backup} {step.hook.name}")
        task.add_done_callback(lambda done: None if done.cancelled() else self.wake(step.namespace, step.backup))
        hooks[key] = task

    def facts(self, run: str) -> tuple[HookFacts, ...]:
        """The hooks of a run that this process began."""
        return tuple(
            HookFacts(phase=phase, name=name, outcome=task.result() if task.done() else None)
            for (phase, name), task in self._runs.get(run, {}).items()
        )

    def forget(self, run: str) -> None:
        """The run is over, and its status says what became of its hooks."""
        for task in self._runs.pop(run, {}).values():
            task.cancel()

    async def _run(self, step: StartHook) -> HookOutcome:
        began, limit = self.clock(), parse_duration(step.hook.timeout).total_seconds()
        try:
            async with asyncio.timeout(limit):
                code, message = await self._run_in_pods(step.namespace, step.hook)
        except TimeoutError:
            code, message = None, f"it did not end within {limit:.0f} s; the connection to it was closed"
        except ForbiddenError:
            code, message = None, self._missing_right(step.namespace)
        except ClusterError as error:
            code, message = None, str(error)
        millis = round((self.clock() - began) * 1000)
        return HookOutcome(succeeded=code == 0, exit_code=code, millis=millis, message=message)

    async def _run_in_pods(self, namespace: str, hook: Hook) -> tuple[int | None, str]:
        """The exit code of the first pod that fails, or of the last, and why."""
        pods = await self._pods(namespace, hook)
        if not pods:
            return None, f"no running pod of namespace {namespace} matches its selector; correct it, or start the pods"
        for pod in pods:
            name = str(pod["metadata"]["name"])
            containers = [str(container["name"]) for container in pod["spec"]["containers"]]
            container = hook.container or containers[0]
            if container not in containers:
                return None, f"Pod {name} has no container {container}, but {', '.join(containers)}"
            end = await self._exec(namespace, name, container, hook.command)
            if end.exit_code != 0:
                return end.exit_code, f"Pod {name}, container {container}: {_last_words(end)}"
        return 0, ""

    async def _pods(self, namespace: str, hook: Hook) -> list[Manifest]:
        found = await _asked_again(lambda: self.cluster.list(POD, namespace, labels=as_query(hook.selector)))
        return sorted(filter(_runs, found), key=lambda pod: str(pod["metadata"]["name"]))

    async def _exec(self, namespace: str, pod: str, container: str, command: list[str]) -> CommandEnd:
        connection = self.cluster.connection
        return await _asked_again(lambda: run_in_pod(connection, namespace, pod, container, command))

    def _missing_right(self, namespace: str) -> str:
        role, account = self.account.hooks_role, f"{self.account.namespace}:{self.account.name}"
        return (
            f"Safehold may not run commands in pods of namespace {namespace}; whoever administers it allows that with: "
            f"kubectl create rolebinding {role} -n {namespace} --clusterrole={role} --serviceaccount={account}"
        )


async def _asked_again(ask: Callable[[], Awaitable[T]]) -> T:
    return await stamina.AsyncRetryingCaller(attempts=_ATTEMPTS, timeout=None).on(ClusterUnavailableError)(ask)


def _runs(pod: Manifest) -> bool:
    return "deletionTimestamp" not in pod["metadata"] and (pod.get("status") or {}).get("phase") == "Running"


def _last_words(end: CommandEnd) -> str:
    lines = [line.strip() for line in end.stderr.splitlines() if line.strip()]
    last = lines[-1][:_LINE_LIMIT] if lines else ""
    if end.exit_code is None:
        return end.complaint[:_LINE_LIMIT] or last or "the command could not be run"
    return f"exit code {end.exit_code}" + (f": {last}" if last else "")
