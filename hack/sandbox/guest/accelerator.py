"""Which accelerator a guest can use here."""

import os
import re
from functools import cache
from pathlib import Path
from typing import Literal

Accelerator = Literal["kvm", "tcg"]


@cache
def usable_accelerator() -> Accelerator:
    """KVM only where the CPU has vmx or svm and /dev/kvm opens for writing; otherwise software emulation.

    A /dev/kvm that opens but hangs or aborts the guest exists (paravirtual hosts), hence the look at the CPU's flags.
    A fallback list (`accel=kvm:tcg`) would not help there: KVM initializes first and then hangs.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        os.close(os.open("/dev/kvm", os.O_RDWR))
    except OSError:
        return "tcg"
    return "kvm" if re.search(r"^flags\s*:.*\b(vmx|svm)\b", flags, re.MULTILINE) else "tcg"
