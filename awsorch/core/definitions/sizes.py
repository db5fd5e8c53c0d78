"""Task-level cpu and memory: text in, text of plain integers out.

Source: ECS developer guide, "Task size"; the API stores "1 vCPU" as "1024" and "0.5 GB" as "512".
"""

from __future__ import annotations

import re
from fractions import Fraction

from awsorch.core.errors import client_error

#: CPU units that a task may have on EC2, External and Managed Instances: 0.125 to 192 vCPU.
MIN_TASK_CPU, MAX_TASK_CPU = 128, 196_608
#: MiB; a limit of ours so that sums stay small numbers: 1 PiB.
MAX_TASK_MEMORY = 1 << 30
#: MiB below which Docker 20.10 and later start no container.
MIN_CONTAINER_MEMORY = 6
#: CPU units; the largest instance has fewer.
MAX_CONTAINER_CPU = MAX_TASK_CPU
#: GiB of ephemeralStorage.
MIN_EPHEMERAL, MAX_EPHEMERAL = 21, 200

_AMOUNT = r"(?P<amount>[0-9]{1,10}(?:\.[0-9]{0,6})?|\.[0-9]{1,6})"
_CPU = re.compile(rf"\s*{_AMOUNT}\s*(?P<unit>vcpus?)?\s*", re.IGNORECASE | re.ASCII)
_MEMORY = re.compile(rf"\s*{_AMOUNT}\s*(?P<unit>gb)?\s*", re.IGNORECASE | re.ASCII)


def normalise_cpu(text: str) -> str:
    """CPU units as text. Accepts units ("1024") and vCPUs ("1 vCPU", ".5 vcpu"). Raises ClientException."""
    units = _amount(_CPU, text)
    if units is None or not MIN_TASK_CPU <= units <= MAX_TASK_CPU:
        raise client_error(
            f"Invalid 'cpu' setting for task. Give CPU units from {MIN_TASK_CPU} to {MAX_TASK_CPU} or vCPUs, "
            "such as '1024' or '1 vCPU'."
        )
    return str(units)


def normalise_memory(text: str) -> str:
    """MiB as text. Accepts MiB ("1024") and GB ("1GB", "0.5 GB"). Raises ClientException."""
    mebibytes = _amount(_MEMORY, text)
    if mebibytes is None or not 0 < mebibytes <= MAX_TASK_MEMORY:
        raise client_error(
            "Invalid 'memory' setting for task. Give MiB or GB as a positive number, such as '1024' or '1 GB'."
        )
    return str(mebibytes)


def _amount(pattern: re.Pattern[str], text: str) -> int | None:
    found = pattern.fullmatch(text)
    if found is None:
        return None
    amount = Fraction(found["amount"].rstrip(".")) * (1024 if found["unit"] else 1)
    return int(amount) if amount.denominator == 1 else None
