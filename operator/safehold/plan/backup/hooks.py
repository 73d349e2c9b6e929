"""When which application hook runs: one at a time, in their order, and each again if nobody saw its end.

The ones before the cut run first; the ones after it as soon as the volumes are cut, or the run is over without a cut.
All are listed in the status before the first is begun, so that a restarted controller knows what is owed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from safehold.api.hooks import Hook, HookPhase, HookResult, Hooks
from safehold.plan.backup.facts import HookFacts
from safehold.plan.backup.run import Decision, Run
from safehold.plan.backup.steps import StartHook
from safehold.plan.refusal import Refusal
from safehold.reasons import Reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTurn:
    """What is to be recorded and done about hooks before anything else goes on."""

    results: list[HookResult]
    message: str
    steps: tuple[StartHook, ...] = ()
    refusal: Refusal | None = None
    """Why the run must fail."""
    news: bool = False
    """Whether to look again at once; otherwise a hook is waited for."""


def planned(hooks: Hooks) -> list[HookResult]:
    """What the status lists before the first hook is begun."""
    before = [HookResult(name=hook.name, phase="Pre") for hook in hooks.pre]
    return before + [HookResult(name=hook.name, phase="Post") for hook in hooks.post]


def hooks_succeeded(results: Iterable[HookResult]) -> bool | None:
    """Whether every declared hook succeeded; None where none is declared."""
    told = [result.succeeded for result in results]
    return all(told) if told else None


def before_cut(run: Run) -> Decision | None:
    """The next decision about the hooks before the cut; None when the volumes may be cut."""
    return _decide(run, take_turn(run, "Pre"))


def after_cut(run: Run, **changes: Any) -> Decision | None:
    """The next decision about the hooks after the cut; None when all of them have ended. `changes` are recorded too."""
    return _decide(run, take_turn(run, "Post"), **changes)


def take_turn(run: Run, phase: HookPhase) -> HookTurn | None:
    """What is next for the hooks of a phase; None when all of them have ended and are recorded."""
    results = [_with_outcome(result, run.facts.hooks) for result in run.status.hooks]
    news = results != run.status.hooks
    failed = _failed(run, results) if news else None
    if failed:
        return HookTurn(results=results, message=failed.message, refusal=failed, news=True)
    following = next((result for result in results if result.phase == phase and result.succeeded is None), None)
    hook = _declared(run, following) if following else None
    if following is None or hook is None:
        return HookTurn(results=results, message="the hooks have ended", news=True) if news else None
    message = f"runs the {phase.lower()} hook {following.name}"
    if _is_running(following, run.facts.hooks):
        return HookTurn(results=results, message=message, news=news)
    begun = [result.model_copy(update={"start_time": run.now}) if result is following else result for result in results]
    start = StartHook(namespace=run.namespace, backup=run.backup.metadata.name, run=run.uid, phase=phase, hook=hook)
    return HookTurn(results=begun, message=message, steps=(start,), news=True)


def _decide(run: Run, turn: HookTurn | None, **changes: Any) -> Decision | None:
    if turn is None:
        return None
    if turn.refusal:
        return run.fails(turn.refusal, hooks=turn.results, **changes)
    again = 0.0 if turn.news else run.rules.poll_seconds
    return run.goes_on("Snapshotting", turn.message, *turn.steps, again=again, hooks=turn.results, **changes)


def _with_outcome(result: HookResult, facts: Iterable[HookFacts]) -> HookResult:
    found = _fact(result, facts)
    # An outcome of a hook that has not been recorded as begun belongs to an earlier try whose record was lost.
    if result.succeeded is not None or result.start_time is None or found is None or found.outcome is None:
        return result
    outcome = found.outcome
    told = {"succeeded": outcome.succeeded, "exit_code": outcome.exit_code, "millis": outcome.millis}
    return result.model_copy(update={**told, "message": outcome.message[:1024] or None})


def _failed(run: Run, results: Iterable[HookResult]) -> Refusal | None:
    """A hook whose failure is the run's; not once the run has failed anyway."""
    if run.status.failure:
        return None
    for result in results:
        hook = _declared(run, result)
        if result.succeeded is False and hook and hook.on_error == "Fail":
            message = f"the {result.phase.lower()} hook {result.name} failed: {result.message}"
            return Refusal(Reason.HOOK_FAILED, message[:1024])
    return None


def _is_running(result: HookResult, facts: Iterable[HookFacts]) -> bool:
    """Whether this controller began it. What an earlier one began, nobody hears of any more."""
    return result.start_time is not None and _fact(result, facts) is not None


def _fact(result: HookResult, facts: Iterable[HookFacts]) -> HookFacts | None:
    return next((fact for fact in facts if (fact.phase, fact.name) == (result.phase, result.name)), None)


def _declared(run: Run, result: HookResult) -> Hook | None:
    hooks = run.backup.spec.hooks.pre if result.phase == "Pre" else run.backup.spec.hooks.post
    return next((hook for hook in hooks if hook.name == result.name), None)
