"""What a restore's worker recalled of the VM, out of its log."""

import base64

from pydantic import ValidationError

from safehold.envelope import open_machine
from safehold.errors import IntegrityError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.jobs import CONTAINER, JOB_NAME_LABEL
from safehold.kube.kinds import POD, SECRET
from safehold.plan.refusal import Refusal
from safehold.report import SealedMachine
from safehold.run import ENVELOPE_FILE

_LOG_LINES = 20_000
_LOG_BYTES = 64 * 1024 * 1024


async def recall(cluster: Cluster, namespace: str, job: str, run_id: str) -> list[Manifest] | Refusal:
    """The objects that the Job's successful pod sealed; refused when key or log are gone or were changed."""
    secret = await cluster.get(SECRET, job, namespace)
    key = base64.b64decode(((secret or {}).get("data") or {}).get(ENVELOPE_FILE) or "")
    lines: list[SealedMachine] = []
    for pod in await cluster.list(POD, namespace, labels={JOB_NAME_LABEL: job}):
        if (pod.get("status") or {}).get("phase") == "Succeeded":
            text = await cluster.pod_log(
                namespace, pod["metadata"]["name"], container=CONTAINER, tail_lines=_LOG_LINES, limit_bytes=_LOG_BYTES
            )
            lines += filter(None, map(_line, text.splitlines()))
    try:
        return open_machine(lines, key, run_id)
    except IntegrityError as error:
        return Refusal(error.reason, f"{error}; restore again")


def _line(text: str) -> SealedMachine | None:
    if '"machine"' not in text:
        return None
    try:
        return SealedMachine.model_validate_json(text)
    except ValidationError:
        return None
