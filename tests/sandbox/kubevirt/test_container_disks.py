"""Container disks of VMs."""

from pathlib import Path

from sandbox.kubevirt.machines.container_disks import container_disks


def test_images_that_the_sandbox_cannot_build_are_not_attached(tmp_path: Path) -> None:
    """As with cloud-init and networks, a VM that names them runs without; nothing is built for it."""
    volumes = [
        {"name": "root", "persistentVolumeClaim": {"claimName": "web-root"}},
        {"name": "drivers", "containerDisk": {"image": "quay.io/kubevirt/virtio-container-disk:v1.9.0"}},
    ]
    assert container_disks(volumes, tmp_path) == ()
    assert not any(tmp_path.iterdir())
