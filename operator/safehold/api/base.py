"""What all kinds share: the group, the model base with Kubernetes' spelling, bounded types, metadata and conditions.

Every string, list and map has a maximum. They are generous for people and small enough that the API server's cost
estimate for CEL rules accepts the definitions.
"""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

GROUP = "safehold.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
CATEGORY = "safehold"
"""`kubectl get safehold` lists every kind of ours."""

_INITIALISMS = {"uid": "UID", "id": "ID", "vm": "VM", "vms": "VMs"}


def camel_case(field: str) -> str:
    """Spell a field as Kubernetes does: `vm_uid` is `vmUID`, `ca_bundle_secret_ref` is `caBundleSecretRef`."""
    first, *rest = field.split("_")
    return first + "".join(_INITIALISMS.get(word, word.capitalize()) for word in rest)


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """CEL rules with the messages that users read, as schema extension for `Field` or `ConfigDict`."""
    return {"x-kubernetes-validations": [{"rule": rule, "message": message} for rule, message in pairs]}


def immutable_except(
    *mutable: str, message: str, also: tuple[tuple[str, str], ...] = ()
) -> Callable[[dict[str, Any]], None]:
    """CEL rules, as `json_schema_extra`, by which every field stays as it was, and stays absent, but for `mutable`.

    `also` are further rules of the same model. Fields are named as on the wire.
    """

    def extend(schema: dict[str, Any]) -> None:
        kept = [field for field in schema["properties"] if field not in mutable]
        unchanged = (f"has(self.{n}) == has(oldSelf.{n}) && (!has(self.{n}) || self.{n} == oldSelf.{n})" for n in kept)
        schema.update(rules((" && ".join(unchanged), message), *also))

    return extend


def list_map(key: str) -> dict[str, Any]:
    """A list whose items are told apart by `key`, so that server-side apply merges it item by item."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [key]}


class ApiModel(BaseModel):
    """Base of everything inside our kinds: frozen, camelCase on the wire, and fields of newer versions are ignored."""

    model_config = ConfigDict(
        alias_generator=camel_case,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="ignore",
        frozen=True,
        use_attribute_docstrings=True,
    )

    def to_wire(self) -> dict[str, Any]:
        """The JSON object that the API server takes: camelCase, absent instead of null."""
        return self.model_dump(mode="json", exclude_none=True)


_SENTENCE_LIMIT = 1024


def _cut(text: object) -> object:
    if isinstance(text, str) and len(text) > _SENTENCE_LIMIT:
        return text[: _SENTENCE_LIMIT - 1] + "…"
    return text


NAME_PATTERN = r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"

Name = Annotated[str, Field(min_length=1, max_length=253, pattern=NAME_PATTERN)]
"""Name of an object (DNS-1123 subdomain)."""
NamespaceName = Annotated[str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
Uid = Annotated[str, Field(max_length=128)]
Word = Annotated[str, Field(max_length=128)]
"""A short string of the operator's or of another controller's making."""
Sentence = Annotated[str, BeforeValidator(_cut), Field(max_length=_SENTENCE_LIMIT)]
"""A message for people. It may quote what others say at any length, so it is cut rather than refused."""
SecretDataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
Time = AwareDatetime
Bytes = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
Count = Annotated[int, Field(ge=0, json_schema_extra={"format": "int32"})]
AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]
AccessModes = Annotated[list[AccessMode], Field(max_length=4)]
VolumeMode = Literal["Block", "Filesystem"]
ReclaimPolicy = Literal["Retain", "Delete", "Recycle"]

MAX_VOLUMES = 256
"""More disks than KubeVirt attaches to one VM."""


class ObjectMeta(ApiModel):
    """The part of an object's metadata that decisions depend on; validated by the API server, not by our schemas."""

    name: str = ""
    namespace: str | None = None
    uid: str = ""
    resource_version: str | None = None
    generation: int = 0
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
    finalizers: list[str] = Field(default_factory=list)


class Condition(ApiModel):
    """One observation about the object, in the shape of `metav1.Condition`.

    `Ready` is True when the object is done or usable, `Reconciling` while work is under way, `Stalled` when nothing
    goes on until somebody acts (kstatus: Argo CD and Flux read these).
    """

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """Ready, Reconciling or Stalled, or one that only this kind has."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
    """The `metadata.generation` that was looked at; an older one than the object's is out of date."""
    last_transition_time: Time
    """When `status` changed the last time."""
    reason: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """One word for automation; docs/reasons.md lists all of them."""
    message: Sentence
    """One sentence for people: what was found, and what to do about it."""


class Status(ApiModel):
    """What every status begins with."""

    of_others: ClassVar[frozenset[str]] = frozenset()
    """Fields, as on the wire, that the object's own reconcile leaves to another writer."""

    observed_generation: Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})] | None = None
    """The `metadata.generation` that this status is about."""
    phase: Word | None = None
    """One word for people; automation reads `conditions`."""
    conditions: Annotated[list[Condition], Field(max_length=8, json_schema_extra=list_map("type"))] = Field(
        default_factory=list
    )
    """Ready, Reconciling and Stalled; on a VMBackup also ConsistencyReached, on a policy ObjectivesMet."""


class Failure(ApiModel):
    """Why a run ended without success."""

    reason: Word
    """One word for automation; docs/reasons.md lists all of them."""
    message: Sentence
    """One sentence for people."""


class Progress(ApiModel):
    """How far the transfer is."""

    bytes_done: Bytes
    """Bytes of the volumes that are dealt with."""
    bytes_total: Bytes
    """Bytes of the volumes altogether."""
    percent: Annotated[int, Field(ge=0, le=100, json_schema_extra={"format": "int32"})]
    """`bytesDone` of `bytesTotal`, rounded down."""
    eta_seconds: Count | None = None
    """Seconds that are left at the speed so far; absent while unknown."""


class Resource(ApiModel):
    """An object of one of our kinds; subclasses add `spec` and `status`."""

    api_version: str = API_VERSION
    kind: str = ""
    metadata: ObjectMeta = Field(default_factory=ObjectMeta)
