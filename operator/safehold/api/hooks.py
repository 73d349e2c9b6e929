"""Application hooks: commands that run in pods of the VM's namespace around the capture, and what became of them."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Count, NamespaceName, Sentence, Time, list_map, rules
from safehold.api.durations import Duration
from safehold.api.references import LabelSelector

MAX_HOOKS = 8
"""Before the cut, and as many after it."""
HookPhase = Literal["Pre", "Post"]
OnError = Literal["Fail", "Continue"]

_TIMEOUT_BOUNDS = rules(
    (
        "self.matches('^([0-9]+[ms])+$') && duration(self) >= duration('1s') && duration(self) <= duration('10m')",
        "a hook's timeout must be between 1s and 10m, in minutes and seconds, such as 30s",
    )
)
_NAMES_A_LABEL = (
    "(has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0) || "
    "(has(self.selector.matchExpressions) && size(self.selector.matchExpressions) > 0)"
)
_SELECTS_SOMETHING = rules(
    (
        _NAMES_A_LABEL,
        "a hook's selector must name a label: an empty one would run the command in every pod of the namespace",
    )
)


APPLICATION_NEEDS_HOOKS = rules(
    (
        "self.consistency.level != 'Application' || size(self.hooks.pre) + size(self.hooks.post) > 0",
        "consistency.level Application means that every hook succeeded, so hooks must be declared",
    )
)
"""For a spec that has both."""


class Hook(ApiModel):
    """A command, and the pods in which it runs. It may run more than once, so it must be harmless to repeat."""

    model_config = ConfigDict(json_schema_extra=_SELECTS_SOMETHING)

    name: NamespaceName
    """What the status calls it."""
    selector: LabelSelector
    """Running pods of the VM's namespace by their labels; the command runs in each of them, one after another."""
    container: NamespaceName | None = None
    """The container; absent: the pod's first one."""
    command: Annotated[list[Annotated[str, Field(min_length=1, max_length=4096)]], Field(min_length=1, max_length=16)]
    """Program and arguments. No shell is around them; whoever may read the VMBackup reads them."""
    timeout: Annotated[Duration, Field(json_schema_extra=_TIMEOUT_BOUNDS)] = "30s"
    """How long it may take in all its pods together; then the connection is closed and the hook has failed."""
    on_error: OnError = "Fail"
    """What happens when it does not succeed, or no pod is found.

    Fail: the backup fails before a byte is moved. Continue: it goes on, and is at best Filesystem-consistent.
    """


class Hooks(ApiModel):
    """Commands around the capture; each list runs in its order."""

    pre: Annotated[list[Hook], Field(max_length=MAX_HOOKS, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """Before the guest is frozen, such as flushing a database and holding its writes."""
    post: Annotated[list[Hook], Field(max_length=MAX_HOOKS, json_schema_extra=list_map("name"))] = Field(
        default_factory=list
    )
    """As soon as the volumes are cut, and also when the run fails or is cancelled: what undoes the ones before."""


class HookResult(ApiModel):
    """What became of one hook. All are listed before the first one runs."""

    name: NamespaceName
    """The hook's name."""
    phase: HookPhase
    """Pre or Post."""
    start_time: Time | None = None
    """When it was begun; absent: it never was. After a restart of the controller it is begun once more."""
    succeeded: bool | None = None
    """Whether the command ended with 0 in all pods; absent while it runs, or when the run ended before it did."""
    exit_code: Annotated[int, Field(ge=-1, json_schema_extra={"format": "int32"})] | None = None
    """What the command ended with in the last pod; absent when it did not end, or never ran."""
    millis: Count | None = None
    """How long it took."""
    message: Sentence | None = None
    """Why it did not succeed: pod and container, and the last line that the command wrote to stderr."""
