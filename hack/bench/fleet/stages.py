"""The stages of the bench, one after another on one cluster: start, idle, an hour's pace, all at once, restart."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.fleet.arrivals import Arrivals
from bench.fleet.figures import MIB, Figures
from bench.fleet.installation import USER, Installation
from bench.fleet.others import Others
from bench.fleet.program import Controller
from bench.fleet.requests import RequestLog
from bench.fleet.shape import NEVER, Shape
from bench.fleet.stand_ins import StandIns
from bench.measure import BenchError, cpu_seconds_of
from safehold.errors import ClusterError
from safehold.kube.kinds import BACKUP_POLICY, CLUSTER_BACKUP_POLICY, CLUSTER_BACKUP_TARGET, VM_BACKUP
from sandbox.demo import chart

ACTIVE_RUNS = 50
HOUR_MINUTES = 60
_LOOKED_AT_ONCE = (BACKUP_POLICY, CLUSTER_BACKUP_POLICY, CLUSTER_BACKUP_TARGET)
_POLL_SECONDS = 0.5
_QUIET_LOOKS = 3
_LONGEST_START = 600.0
_LONGEST_RUNS = 1800.0
_BURST_LEAD = timedelta(seconds=75)
"""Between the change of all schedules and the moment that all of them name: the changes have to be looked at first."""
_LONGEST_BURST = 600.0


@dataclass(slots=True)
class Fleet:
    """What all stages work with."""

    installation: Installation
    shape: Shape
    folder: Path
    figures: Figures
    stand_ins: StandIns
    arrivals: Arrivals
    requests: RequestLog
    controller: Controller = field(init=False)

    async def start_controller(self) -> float:
        """Start it (again); how many seconds it took until it knew all policies and every unfinished VMBackup."""
        unfinished = await self.unfinished()
        began = time.monotonic()
        log = self.folder / "controller.log"
        self.controller = await Controller.start(self.installation.kubeconfig, log, ACTIVE_RUNS)
        quiet = 0
        while quiet < _QUIET_LOOKS:
            await asyncio.sleep(_POLL_SECONDS)
            if self.controller.ended() or time.monotonic() - began > _LONGEST_START:
                raise self.controller.program.error("did not become steady")
            found = await asyncio.to_thread(self.controller.figures)
            known = found.get("safehold_active_backups", 0) + found.get("safehold_waiting_backups", 0)
            # Active runs are looked at again and again, so their queue is never empty for long.
            ahead = [found.get(f'safehold_queue_depth{{kind="{kind.plural}"}}') for kind in _LOOKED_AT_ONCE]
            steady = bool(found) and known >= unfinished and not any(ahead)
            quiet = quiet + 1 if steady and await self._policies_looked_at() else 0
        return time.monotonic() - began - (_QUIET_LOOKS - 1) * _POLL_SECONDS

    async def set_schedules(self, schedule_of: Callable[[int], str]) -> None:
        """Give each policy, by its number, its schedule."""
        for number, (namespace, group) in enumerate(self.shape.policy_places()):
            spec = {"schedule": schedule_of(number)}
            await self.installation.cluster.merge_patch(BACKUP_POLICY, group, namespace, {"spec": spec})

    async def runs_end(self) -> None:
        """Wait until no VMBackup is unfinished."""
        end = time.monotonic() + _LONGEST_RUNS
        while await self._busy() or await self.unfinished():
            if time.monotonic() > end:
                raise self.controller.program.error("did not bring its runs to an end")
            await asyncio.sleep(_POLL_SECONDS)

    async def unfinished(self) -> int:
        """How many VMBackups have not ended."""
        return sum(
            "completionTime" not in (found.get("status") or {})
            for found in await self.installation.cluster.list(VM_BACKUP)
        )

    def others(self) -> Others:
        """Who else works on this machine, from now on."""
        return Others((self.installation.server.process.pid, self.controller.program.process.pid))

    async def _busy(self) -> float:
        """As /metrics has it, which costs the API server nothing."""
        found = await asyncio.to_thread(self.controller.figures)
        return found.get("safehold_active_backups", 0) + found.get("safehold_waiting_backups", 0)

    async def _policies_looked_at(self) -> bool:
        policies = await self.installation.cluster.list(BACKUP_POLICY)
        return all(
            (found.get("status") or {}).get("observedGeneration") == found["metadata"]["generation"]
            and found["status"].get("phase") == "Scheduled"
            for found in policies
        )


@asynccontextmanager
async def running_fleet(installation: Installation, shape: Shape, folder: Path) -> AsyncIterator[tuple[Fleet, float]]:
    """Stand-ins and a controller that is steady; with the seconds that its start took."""
    cluster = installation.cluster
    stand_ins, arrivals = StandIns(cluster, chart.NAMESPACE), Arrivals(cluster)
    stand_ins.working.set()
    tasks = [asyncio.create_task(stand_ins.run()), asyncio.create_task(arrivals.run())]
    log = RequestLog(installation.audit, USER)
    fleet = Fleet(
        installation=installation,
        shape=shape,
        folder=folder,
        figures=Figures(),
        stand_ins=stand_ins,
        arrivals=arrivals,
        requests=log,
    )
    # The first start is not measured: the target is checked in it.
    await fleet.start_controller()
    try:
        await fleet.controller.stop()
        yield fleet, await fleet.start_controller()
    finally:
        await fleet.controller.stop()
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError, ClusterError, ExceptionGroup):
            await asyncio.gather(*tasks)


async def measure_idle(fleet: Fleet, seconds: float) -> None:
    """Nothing is due, and no VM changes."""
    fleet.requests.since_last()
    cpu, began, others = fleet.controller.cpu_seconds(), time.monotonic(), fleet.others()
    await asyncio.sleep(seconds)
    elapsed = time.monotonic() - began
    share = 100 * (fleet.controller.cpu_seconds() - cpu) / elapsed
    asked = fleet.requests.since_last().total()
    figures, vms = fleet.figures, fleet.shape.vms
    figures.at_most("Idle: share of a core", share, 5, "%")
    figures.add("Idle: requests a minute", f"{60 * asked / elapsed:.0f}")
    figures.add("Idle: requests per VM and day", f"{asked / elapsed * 86400 / vms:.1f}")
    figures.note_others("Idle", others.share())
    figures.add("Idle: resident memory", f"{fleet.controller.resident_bytes() / MIB:.0f} MiB")


async def measure_pace(fleet: Fleet, minutes: int) -> None:
    """Policies spread over the hour; some of its minutes, in which every run goes to its end."""
    now = datetime.now(UTC)
    first = (now + timedelta(seconds=30)).replace(second=0, microsecond=0) + timedelta(minutes=1)
    runs = [first + timedelta(minutes=minute) for minute in range(minutes)]
    await fleet.set_schedules(lambda number: f"{(first.minute + number) % HOUR_MINUTES} * * * *")
    within = [number for number in range(fleet.shape.policies) if number % HOUR_MINUTES < minutes]
    expected = sum(len(_group(fleet.shape, number)) for number in within)
    fleet.requests.since_last()
    cpu, began, others = fleet.controller.cpu_seconds(), time.monotonic(), fleet.others()
    waited = (runs[-1] - now).total_seconds() + _LONGEST_BURST
    if not await fleet.arrivals.until(runs, expected, waited):
        raise BenchError(f"{len(fleet.arrivals.of(runs).seconds)} of {expected} VMBackups appeared")
    await fleet.set_schedules(lambda _: NEVER)
    await fleet.runs_end()
    elapsed = time.monotonic() - began
    late, figures = fleet.arrivals.of(runs), fleet.figures
    figures.note_others("Spread over the hour", others.share())
    figures.requests, figures.runs = fleet.requests.since_last(), len(late.seconds)
    figures.at_most("Spread over the hour: p99 from due to VMBackup", late.quantile(0.99), 5, "s")
    figures.add("Spread over the hour: median", f"{late.quantile(0.5):.1f} s")
    figures.add("Spread over the hour: VMBackups, each to its end", f"{len(late.seconds)} in {minutes} min")
    figures.add("Spread over the hour: twice", str(late.twice), reach="0", met=late.twice == 0)
    share = 100 * (fleet.controller.cpu_seconds() - cpu) / elapsed
    figures.add("Spread over the hour: share of a core", f"{share:.0f} %")
    per_run = figures.requests.total() / max(1, figures.runs)
    figures.add("API requests per run, from VMBackup to the last clean-up", f"{per_run:.0f}")
    figures.add("API requests per VM and day, one backup a day", f"{per_run:.0f}")
    figures.add("API requests per VM and day, one backup an hour", f"{24 * per_run:.0f}")


async def measure_burst(fleet: Fleet) -> None:
    """Every policy is due in the same second. Workers go on until the stage is over, as real ones would."""
    fleet.stand_ins.working.clear()
    due = (datetime.now(UTC) + _BURST_LEAD).replace(second=0, microsecond=0) + timedelta(minutes=1)
    await fleet.set_schedules(lambda _: f"{due.minute} {due.hour} * * *")
    vms = fleet.shape.vms
    await asyncio.sleep(max(0.0, due.timestamp() - time.time()))
    others = fleet.others()
    server, cpu = cpu_seconds_of(fleet.installation.server.process.pid), fleet.controller.cpu_seconds()
    complete = await fleet.arrivals.until([due], vms, _LONGEST_BURST)
    late, figures = fleet.arrivals.of([due]), fleet.figures
    server = cpu_seconds_of(fleet.installation.server.process.pid) - server
    cpu = fleet.controller.cpu_seconds() - cpu
    figures.note_others("All at once", others.share())
    figures.add("All at once: VMBackups", str(len(late.seconds)), reach=str(vms), met=complete)
    figures.at_most("All at once: the last one after", late.quantile(1.0), 90, "s")
    figures.add("All at once: median", f"{late.quantile(0.5):.1f} s")
    figures.add("All at once: twice", str(late.twice), reach="0", met=late.twice == 0)
    figures.add("All at once: CPU of controller and API server until then", f"{cpu:.0f} s and {server:.0f} s")
    figures.at_most("Resident memory, the most of all", fleet.controller.peak_bytes() / MIB, 300, "MiB")


async def measure_restart(fleet: Fleet) -> None:
    """With as many active runs as there may be, and everyone else waiting for a turn."""
    await fleet.controller.stop()
    unfinished = await fleet.unfinished()
    seconds = await fleet.start_controller()
    figures = fleet.figures
    figures.at_most(f"Restart with {unfinished} unfinished VMBackups: steady after", seconds, 60, "s")
    figures.at_most("Restart: resident memory, the most", fleet.controller.peak_bytes() / MIB, 300, "MiB")


def _group(shape: Shape, number: int) -> list[str]:
    namespace, group = shape.policy_places()[number]
    return [name for where, name, of in shape.machines() if (where, of) == (namespace, group)]
