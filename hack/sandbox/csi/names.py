"""Names that the storage controllers share with everyone who looks at their objects."""

DRIVER = "hostpath.sandbox.safehold.dev"
DRIVER_WITHOUT_SNAPSHOTS = "plain.sandbox.safehold.dev"
DRIVERS = (DRIVER, DRIVER_WITHOUT_SNAPSHOTS)

BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
STORAGE_PROVISIONER = "volume.kubernetes.io/storage-provisioner"
STORAGE_PROVISIONER_BETA = "volume.beta.kubernetes.io/storage-provisioner"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
NO_DELETION_SECRET = {
    "volume.kubernetes.io/provisioner-deletion-secret-name": "",
    "volume.kubernetes.io/provisioner-deletion-secret-namespace": "",
}
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"

PVC_PROTECTION = "kubernetes.io/pvc-protection"
PV_PROTECTION = "kubernetes.io/pv-protection"
PROVISIONER_FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"

DEFAULT_SNAPSHOT_CLASS = "snapshot.storage.kubernetes.io/is-default-class"
DEFAULT_GROUP_CLASS = "groupsnapshot.storage.kubernetes.io/is-default-class"
SNAPSHOT_BEING_CREATED = "snapshot.storage.kubernetes.io/volumesnapshot-being-created"
SNAPSHOT_BEING_DELETED = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted"
ALLOW_MODE_CHANGE = "snapshot.storage.kubernetes.io/allow-volume-mode-change"

GROUP_BEING_CREATED = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created"
GROUP_BEING_DELETED = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted"
GROUP_HANDLE = "groupsnapshot.storage.kubernetes.io/volumeGroupSnapshotHandle"

SNAPSHOT_SOURCE_PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshot-as-source-protection"
SNAPSHOT_BOUND_PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshot-bound-protection"
CONTENT_BOUND_PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection"
CLAIM_SOURCE_PROTECTION = "snapshot.storage.kubernetes.io/pvc-as-source-protection"
SNAPSHOT_IN_GROUP_PROTECTION = "snapshot.storage.kubernetes.io/volumesnapshot-in-group-protection"
GROUP_BOUND_PROTECTION = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-bound-protection"
GROUP_CONTENT_PROTECTION = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection"
PROVISIONER_SNAPSHOT_PROTECTION = "provisioner.storage.kubernetes.io/volumesnapshot-as-source-protection"
