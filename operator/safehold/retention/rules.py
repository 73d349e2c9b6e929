"""What a policy says about how long its restore points stay."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from zoneinfo import ZoneInfo

AfterVMDeleted = Literal["Keep", "Delete"]
_UTC = ZoneInfo("UTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionRules:
    """How many points stay, by what; 0 and None leave a rule out.

    The rules that count follow what Proxmox Backup Server publishes about `keep-last` to `keep-yearly`
    (pbs.proxmox.com/docs/maintenance.html#pruning).
    """

    keep_last: int = 0
    keep_within: timedelta | None = None
    """Every point that is at most this much older than the newest."""
    keep_hourly: int = 0
    keep_daily: int = 0
    keep_weekly: int = 0
    keep_monthly: int = 0
    keep_yearly: int = 0
    minimum_age: timedelta = timedelta()
    """No point goes before it is this old."""
    after_vm_deleted: AfterVMDeleted = "Keep"
    deleted_vm_grace: timedelta = timedelta(days=30)
    """How long the points of a VM that is gone stay, from when that was noticed, before `Delete` takes them."""
    zone: ZoneInfo = _UTC
    """Where hours, days, weeks, months and years begin."""

    @property
    def keeps_something(self) -> bool:
        """Whether any rule keeps points; without one there is nothing to go by, and all stay."""
        counts = (self.keep_last, self.keep_hourly, self.keep_daily, self.keep_weekly)
        return any((*counts, self.keep_monthly, self.keep_yearly, self.keep_within))
