"""The QEMU command line of a guest. Each option earned its place by boot time: see the figures beside it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from sandbox.guest.accelerator import Accelerator
from sandbox.guest.image import GuestImage

BINARY = "qemu-system-x86_64"
MINIMUM_MEMORY_MIB = 192
SLOTS = ("slot1", "slot2")
"""PCIe ports into which disks are plugged while the guest runs: q35's own bus takes none."""
_SERIAL_LENGTH = 20
"""virtio-blk passes no more characters of a disk's serial number to the guest."""
_KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=1 reboot=t tsc=reliable mitigations=off nokaslr random.trust_cpu=on no_timer_check "
    "8250.nr_uarts=1 cryptomgr.notests"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """A raw image or block device. `volume` is the name of the VM's volume."""

    volume: str
    path: Path

    @property
    def serial(self) -> str:
        """The name under which the guest knows the disk: that of the volume, or a digest where it is too long."""
        if len(self.volume) <= _SERIAL_LENGTH:
            return self.volume
        return self.volume[:11] + "-" + hashlib.sha256(self.volume.encode()).hexdigest()[:8]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """A guest to start: `name` is the guest's host name, `faults` are those of the guest's `fault` program.

    `programs` are disks that it cannot write; no backup of QEMU's includes them.
    """

    name: str
    disks: tuple[Disk, ...]
    programs: tuple[Disk, ...] = ()
    memory_mib: int = MINIMUM_MEMORY_MIB
    cpus: int = 1
    uuid: str | None = None
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sockets:
    """Where a running guest is reached. Unix socket paths hold 107 bytes, so `folder` must be short."""

    folder: Path

    @property
    def agent(self) -> Path:
        """The guest agent's port."""
        return self.folder / "agent"

    @property
    def control(self) -> Path:
        """The port that runs a shell line in the guest."""
        return self.folder / "control"

    @property
    def monitor(self) -> Path:
        """QMP."""
        return self.folder / "qmp"

    @property
    def blocks(self) -> Path:
        """QEMU's NBD server, while a backup is being pulled."""
        return self.folder / "nbd"

    @property
    def acknowledged(self) -> Path:
        """File with a line "SERIAL COUNTER" per commit that the guest's ledger acknowledged."""
        return self.folder / "acknowledged"

    @property
    def console(self) -> Path:
        """File with the guest's serial console."""
        return self.folder / "console"


def qemu_command(machine: Machine, image: GuestImage, sockets: Sockets, accelerator: Accelerator) -> list[str]:
    """Arguments that boot the machine: q35 with qboot and an ELF kernel reaches its agent in 3 to 4 s under TCG."""
    disks = len(machine.disks) + len(machine.programs)
    append = f"{_KERNEL_OPTIONS} sandbox.name={machine.name} sandbox.disks={disks}"
    if machine.faults:
        append += f" sandbox.fault={','.join(machine.faults)}"
    command = [BINARY, "-name", machine.name, "-M", "q35", "-bios", "qboot.rom"]
    command += ["-accel", accelerator, "-cpu", "host" if accelerator == "kvm" else "max"]
    command += ["-m", str(max(machine.memory_mib, MINIMUM_MEMORY_MIB)), "-smp", str(machine.cpus)]
    command += ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    command += ["-serial", f"file:{sockets.console}"]
    command += ["-kernel", str(image.kernel), "-initrd", str(image.initramfs), "-append", append]
    command += ["-qmp", f"unix:{sockets.monitor},server=on,wait=off"]
    if machine.uuid:
        command += ["-uuid", machine.uuid]
    for index, disk in enumerate(machine.disks):
        command += _disk_arguments(index, disk, "discard=unmap")
    for index, disk in enumerate(machine.programs, start=len(machine.disks)):
        command += _disk_arguments(index, disk, "read-only=on")
    for number, slot in enumerate(SLOTS, start=1):
        command += ["-device", f"pcie-root-port,id={slot},chassis={number}"]
    return command + _port_arguments(sockets)


def _disk_arguments(index: int, disk: Disk, option: str) -> list[str]:
    # The same driver for a regular file and a device node would do: QEMU asks for the right one by name.
    driver = "host_device" if disk.path.is_block_device() else "file"
    return [
        "-blockdev",
        f"node-name=file{index},driver={driver},filename={disk.path},{option}",
        "-blockdev",
        f"node-name=vol{index},driver=raw,file=file{index},{option}",
        "-device",
        f"virtio-blk-pci,drive=vol{index},id=vd{index},serial={disk.serial}",
    ]


def _port_arguments(sockets: Sockets) -> list[str]:
    # The writer's port is a file: a guest's write blocks while a socket has no client.
    return [
        "-device",
        "virtio-serial-pci,id=ports",
        "-chardev",
        f"socket,path={sockets.agent},server=on,wait=off,id=agent",
        "-device",
        "virtserialport,bus=ports.0,nr=1,chardev=agent,name=org.qemu.guest_agent.0",
        "-chardev",
        f"file,path={sockets.acknowledged},id=writer",
        "-device",
        "virtserialport,bus=ports.0,nr=2,chardev=writer,name=sandbox.writer",
        "-chardev",
        f"socket,path={sockets.control},server=on,wait=off,id=control",
        "-device",
        "virtserialport,bus=ports.0,nr=3,chardev=control,name=sandbox.control",
    ]
