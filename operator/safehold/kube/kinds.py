"""The kinds of object that the operator reads or writes, by their REST coordinates."""

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Kind:
    """One served resource. `plural` is the REST name, `kind` the name in manifests."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = ["namespaces", namespace] if self.namespaced and namespace else []
        parts += [self.plural, *(part for part in (name, subresource) if part)]
        return root + "/" + "/".join(quote(part) for part in parts)


NAMESPACE = Kind("", "v1", "namespaces", "Namespace", namespaced=False)
SECRET = Kind("", "v1", "secrets", "Secret")
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
SERVICE = Kind("", "v1", "services", "Service")
SERVICE_ACCOUNT = Kind("", "v1", "serviceaccounts", "ServiceAccount")
EVENT = Kind("", "v1", "events", "Event")
POD = Kind("", "v1", "pods", "Pod")
CLAIM = Kind("", "v1", "persistentvolumeclaims", "PersistentVolumeClaim")
VOLUME = Kind("", "v1", "persistentvolumes", "PersistentVolume", namespaced=False)
RESOURCE_QUOTA = Kind("", "v1", "resourcequotas", "ResourceQuota")
STORAGE_CLASS = Kind("storage.k8s.io", "v1", "storageclasses", "StorageClass", namespaced=False)
JOB = Kind("batch", "v1", "jobs", "Job")
CONTROLLER_REVISION = Kind("apps", "v1", "controllerrevisions", "ControllerRevision")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")

VOLUME_SNAPSHOT = Kind("snapshot.storage.k8s.io", "v1", "volumesnapshots", "VolumeSnapshot")
VOLUME_SNAPSHOT_CONTENT = Kind(
    "snapshot.storage.k8s.io", "v1", "volumesnapshotcontents", "VolumeSnapshotContent", namespaced=False
)
VOLUME_SNAPSHOT_CLASS = Kind(
    "snapshot.storage.k8s.io", "v1", "volumesnapshotclasses", "VolumeSnapshotClass", namespaced=False
)
SNAPSHOT_METADATA_SERVICES = tuple(
    Kind("cbt.storage.k8s.io", version, "snapshotmetadataservices", "SnapshotMetadataService", namespaced=False)
    for version in ("v1beta1", "v1alpha1")
)
"""Alike in both versions; a sidecar of one serves no object of the other."""
STORAGE_PROFILE = Kind("cdi.kubevirt.io", "v1beta1", "storageprofiles", "StorageProfile", namespaced=False)
"""CDI's, of the name of a StorageClass."""

VM = Kind("kubevirt.io", "v1", "virtualmachines", "VirtualMachine")
VMI = Kind("kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance")
VM_SNAPSHOT = Kind("snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshots", "VirtualMachineSnapshot")
VM_SNAPSHOT_CONTENT = Kind(
    "snapshot.kubevirt.io", "v1beta1", "virtualmachinesnapshotcontents", "VirtualMachineSnapshotContent"
)
VM_PULL_BACKUP = Kind("backup.kubevirt.io", "v1alpha1", "virtualmachinebackups", "VirtualMachineBackup")
"""KubeVirt's own backup, of which only the pull mode is used."""
VM_TRACKER = Kind("backup.kubevirt.io", "v1alpha1", "virtualmachinebackuptrackers", "VirtualMachineBackupTracker")
VM_EXPORT = Kind("export.kubevirt.io", "v1", "virtualmachineexports", "VirtualMachineExport")
VMI_SUBRESOURCES = Kind("subresources.kubevirt.io", "v1", "virtualmachineinstances", "VirtualMachineInstance")
VM_SUBRESOURCES = Kind("subresources.kubevirt.io", "v1", "virtualmachines", "VirtualMachine")
INSTANCETYPE = Kind("instancetype.kubevirt.io", "v1beta1", "virtualmachineinstancetypes", "VirtualMachineInstancetype")
CLUSTER_INSTANCETYPE = Kind(
    "instancetype.kubevirt.io",
    "v1beta1",
    "virtualmachineclusterinstancetypes",
    "VirtualMachineClusterInstancetype",
    namespaced=False,
)
PREFERENCE = Kind("instancetype.kubevirt.io", "v1beta1", "virtualmachinepreferences", "VirtualMachinePreference")
CLUSTER_PREFERENCE = Kind(
    "instancetype.kubevirt.io",
    "v1beta1",
    "virtualmachineclusterpreferences",
    "VirtualMachineClusterPreference",
    namespaced=False,
)
NETWORK_ATTACHMENT = Kind("k8s.cni.cncf.io", "v1", "network-attachment-definitions", "NetworkAttachmentDefinition")

GROUP = "safehold.dev"
BACKUP_TARGET = Kind(GROUP, "v1alpha1", "backuptargets", "BackupTarget")
CLUSTER_BACKUP_TARGET = Kind(GROUP, "v1alpha1", "clusterbackuptargets", "ClusterBackupTarget", namespaced=False)
BACKUP_POLICY = Kind(GROUP, "v1alpha1", "backuppolicies", "BackupPolicy")
CLUSTER_BACKUP_POLICY = Kind(GROUP, "v1alpha1", "clusterbackuppolicies", "ClusterBackupPolicy", namespaced=False)
VM_BACKUP = Kind(GROUP, "v1alpha1", "vmbackups", "VMBackup")
VM_RESTORE = Kind(GROUP, "v1alpha1", "vmrestores", "VMRestore")

VOLUME_SNAPSHOT_CLASS = Kind(
    "snapshot.storage.k8s.io", "v1", "volumesnapshotclasses", "VolumeSnapshotClass", namespaced=False
)
KUBEVIRT = Kind("kubevirt.io", "v1", "kubevirts", "KubeVirt")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
CUSTOM_RESOURCE_DEFINITION = Kind(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", "CustomResourceDefinition", namespaced=False
)
SUBJECT_ACCESS_REVIEW = Kind(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
SNAPSHOT_METADATA_SERVICES = tuple(
    Kind("cbt.storage.k8s.io", version, "snapshotmetadataservices", "SnapshotMetadataService", namespaced=False)
    for version in ("v1beta1", "v1alpha1")
)
"""Newest first: a cluster may serve either."""
