"""How one object names another: targets, Secrets, and label selectors."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from safehold.api.base import ApiModel, Name, NamespaceName, SecretDataKey, rules

TargetKind = Literal["BackupTarget", "ClusterBackupTarget"]
LabelKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]


class TargetRef(ApiModel):
    """Which target holds the restore points."""

    kind: TargetKind
    """BackupTarget (of the same namespace) or ClusterBackupTarget."""
    name: Name
    """The target's name."""


class SecretRef(ApiModel):
    """A Secret of the target's namespace; for a ClusterBackupTarget of the operator's namespace."""

    name: Name
    """The Secret's name."""


class CaBundleRef(SecretRef):
    """Where the certificates are that the endpoint's certificate is checked with."""

    key: SecretDataKey = "ca.crt"
    """The key in the Secret whose value is a bundle of PEM certificates."""


class RepositoryKeyRef(SecretRef):
    """Where the repository key is."""

    key: SecretDataKey = "repository.key"
    """The key in the Secret whose value is what `safehold key new` writes."""


class LabelRequirement(ApiModel):
    """One requirement on a label, as in every Kubernetes label selector."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
                "values are needed with In and NotIn, and not allowed with Exists and DoesNotExist",
            )
        )
    )

    key: LabelKey
    """The label's key."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label's value relates to `values`."""
    values: Annotated[list[LabelValue], Field(max_length=64)] | None = None
    """The values that In and NotIn compare with."""


class LabelSelector(ApiModel):
    """Objects by their labels; all requirements must hold."""

    match_labels: Annotated[dict[str, LabelValue], Field(max_length=32)] | None = None
    """Labels that must have exactly these values."""
    match_expressions: Annotated[list[LabelRequirement], Field(max_length=32)] | None = None
    """Requirements on single labels."""


class AllowedNamespaces(LabelSelector):
    """Namespaces that are named, or whose labels match. Without any name or requirement it selects none."""

    names: Annotated[list[NamespaceName], Field(max_length=256)] | None = None
    """Namespaces by name, beside those that the labels select."""
