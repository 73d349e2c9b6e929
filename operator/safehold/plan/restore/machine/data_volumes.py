"""DataVolumes of a restored VM: they take over what was restored, in place of importing it again.

CDI fills a DataVolume's claim from its source, over whatever is there, unless both sides say that nothing is left to
do (CDI, docs/datavolume-annotations.md): the DataVolume names itself in `storage.prePopulated`, its claim in
`storage.populatedFor`.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import deepcopy
from typing import Any

POPULATED_FOR = "cdi.kubevirt.io/storage.populatedFor"
"""On a claim: the DataVolume that may take it over, and has nothing left to import."""
PREPOPULATED = "cdi.kubevirt.io/storage.prePopulated"
"""On a DataVolume: its claim comes from elsewhere, ready."""


def adopting_templates(templates: Sequence[Mapping[str, Any]], claims: Collection[str]) -> list[dict[str, Any]]:
    """Those of a VM's dataVolumeTemplates whose claims were restored, made to take them over.

    One whose claim was not restored would bring a disk back that the point does not hold, so it is left out.
    """
    return [_adopting(template) for template in templates if (template.get("metadata") or {}).get("name") in claims]


def _adopting(template: Mapping[str, Any]) -> dict[str, Any]:
    before = template["metadata"]
    annotations = {**(before.get("annotations") or {}), PREPOPULATED: before["name"]}
    metadata = {"name": before["name"], "annotations": annotations}
    if labels := before.get("labels"):
        metadata["labels"] = dict(labels)
    return {**deepcopy({key: value for key, value in template.items() if key != "status"}), "metadata": metadata}
