"""What the planner of a self-filling claim may know, and what it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from safehold.api import VMBackup
from safehold.api.base import ReclaimPolicy
from safehold.plan.job import JobFacts
from safehold.plan.names import job_name, owner_labels, prime_claim_name
from safehold.plan.refusal import Refusal
from safehold.plan.restore.steps import Step
from safehold.plan.storage import Claim, Volume
from safehold.plan.target.use import TargetFacts
from safehold.plan.tenancy import NamespaceFacts

CLAIM_KIND = "PersistentVolumeClaim"
CHOSEN_VOLUME = "safehold.dev/volume"
"""Annotation of the claim: the VM's name of the volume; not needed where the point has one disk only.

Of the filling claim: the one that was chosen.
"""
SOURCE_NAMESPACE = "safehold.dev/source-namespace"
"""Annotation of the claim: where the VMBackup is, if not in its own namespace.

`dataSourceRef.namespace` is dropped by clusters without the alpha gate CrossNamespaceVolumeDataSource, and the claim
then gets an empty volume.
"""
SELECTED_NODE = "volume.kubernetes.io/selected-node"
"""Annotation by the scheduler: where the claim's first consumer will run."""
RECLAIM_POLICY = "safehold.dev/reclaim-policy"
"""Annotation of the filling claim: the policy that its volume gets back once it is handed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassFacts:
    """A StorageClass."""

    name: str
    waits_for_consumer: bool
    reclaim_policy: ReclaimPolicy


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulateFacts:
    """The cluster around one claim that asks to be filled."""

    claim: Claim
    backup_name: str
    """`spec.dataSourceRef.name`."""
    now: datetime
    cluster_id: str
    operator_namespace: str
    namespace: NamespaceFacts
    """The claim's own."""
    source: NamespaceFacts | None = None
    """The Namespace of the VMBackup; None when there is none of that name."""
    backup: VMBackup | None = None
    target: TargetFacts | Refusal | None = None
    """The target of the VMBackup's point."""
    storage_class: ClassFacts | None = None
    prime: Claim | None = None
    """The filling claim in the operator's namespace. It is also the record of what was begun."""
    volume: Volume | None = None
    """What the filling claim is, or was, bound to."""
    job: JobFacts | None = None

    @property
    def uid(self) -> str:
        """Of the claim; it is also the id of the worker's run."""
        return self.claim.ref.uid

    @property
    def source_name(self) -> str:
        """Where the VMBackup is."""
        return self.claim.annotations.get(SOURCE_NAMESPACE) or self.namespace.name

    @property
    def prime_name(self) -> str:
        """The name of the filling claim."""
        return prime_claim_name(self.uid, "populated")

    @property
    def job_name(self) -> str:
        """The name of the worker Job."""
        return job_name("restore", self.claim.ref.name, self.uid)

    @property
    def labels(self) -> Mapping[str, str]:
        """What all children in the operator's namespace carry."""
        ref = self.claim.ref
        return owner_labels(CLAIM_KIND, ref.uid, name=ref.name, namespace=ref.namespace)


@dataclass(frozen=True, slots=True, kw_only=True)
class Orphan:
    """What was made for a claim that is gone."""

    uid: str
    """Of the claim."""
    jobs: tuple[str, ...]
    """Names of its Jobs, and of Secrets that have none."""
    prime: Claim | None
    volume: Volume | None
    """What the filling claim names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PopulateDecision:
    """The next step, and what people should hear; nothing is told where `event` is None."""

    step: Step
    event: str | None = None
    message: str = ""
    is_warning: bool = False
