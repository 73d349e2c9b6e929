"""The figures as Markdown."""

from bench.fleet.figures import Figures
from bench.fleet.shape import Shape
from bench.reach import LOADED_SHARE

_SHOWN_REQUESTS = 25

_EXPLANATION = """\
Written by `make bench-fleet`. One controller, under its own ServiceAccount with the chart's rights, on the sandbox's
API server: {vms:,} VMs ({kib:.1f} KiB of JSON each, managed fields included, one disk), {namespaces} namespaces,
{policies} policies, and {catalogue} finished VMBackups of each VM, as the chart keeps them. `FLEET_MINUTES=60` measures
the whole hour instead of {minutes} of its minutes, `FLEET_VMS=N` another fleet.

What is played: KubeVirt, the CSI driver and the nodes are one process that answers at once, and no byte is moved;
`hack/bench/fleet/stand_ins.py` makes the objects that a run of a stopped VM meets. What is real: the controller, its
watches and decisions, and every request that it makes. API server, stand-ins and controller share the machine's cores,
and the API server is a Python program that takes several times what Kubernetes' own takes for a request.

- A VMBackup's lateness counts from the time that its run is due to the moment at which another client's watch shows it.
- *All at once*: every policy is due in the same second. Meanwhile workers do not end, so that {active} runs are active.
- *Steady* is a controller that has looked at every policy, and knows of every unfinished VMBackup whether it is active
  or waits for its turn.
- Requests are counted from the API server's audit log; a watch is one request.
"""


def markdown(
    figures: Figures, shape: Shape, *, vm_bytes: int, minutes: int, active: int, machine: dict[str, str]
) -> str:
    """The whole page."""
    explanation = _EXPLANATION.format(
        vms=shape.vms,
        kib=vm_bytes / 1024,
        namespaces=shape.namespaces,
        policies=shape.policies,
        catalogue=shape.catalogue,
        minutes=minutes,
        active=active,
    )
    verdicts = {None: "", True: "yes", False: "**no**"}
    rows = [[row.what, row.reach, row.found, verdicts[row.met]] for row in figures.rows]
    asked = figures.requests.most_common(_SHOWN_REQUESTS)
    per_run = [[verb, resource, f"{count / max(1, figures.runs):.1f}"] for (verb, resource), count in asked]
    parts = [
        "# Benchmarks of the controller",
        explanation,
        "## Machine",
        _table(["what", "is"], [[name, fact] for name, fact in machine.items()]),
        *([_warning(figures)] if _warning(figures) else []),
        "## Figures",
        _table(["what", "reach", "found", "met"], rows),
        f"## The requests of a run\nThe mean of {figures.runs} runs, those of policies and of idling included.",
        _table(["verb", "resource", "per run"], per_run),
    ]
    return "\n".join(part.rstrip("\n") + "\n" for part in parts)


def _warning(figures: Figures) -> str:
    loaded = [f"{share:.0%} in {stage!r}" for stage, share in figures.others.items() if share > LOADED_SHARE]
    if not loaded:
        return ""
    return (
        f"**The machine was busy:** other programs took {', '.join(loaded)} of the cores, and all seconds are longer."
    )


def _table(head: list[str], lines: list[list[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
