"""Which GPUs an instance has. Source: ecs-init, GPU manager."""

import json
import logging
from pathlib import Path

LOG = logging.getLogger(__name__)

INVENTORY = Path("/var/lib/ecs/gpu/nvidia-gpu-info.json")
"""Where ECS's own set-up of an instance writes what GPUs there are."""


def read_inventory(path: Path = INVENTORY) -> tuple[str, ...]:
    """The ids of the instance's GPUs; none where that is not known."""
    try:
        found = json.loads(path.read_text())["GPUIDs"]
        return tuple(str(each) for each in found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        LOG.warning("no GPU is offered: %s: %s", path, error)
        return ()
