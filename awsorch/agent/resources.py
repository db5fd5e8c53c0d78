"""What an instance offers: its settings first, else what the engine's host has.

Source: ECS API, RegisterContainerInstance (totalResources).
"""

from typing import Any

from awsorch.agent.engine import EngineFacts
from awsorch.agent.settings import SettingError, Settings


def cpu_of(settings: Settings, facts: EngineFacts) -> int:
    """CPU units."""
    return facts.cpus * 1024 if settings.instance.cpu is None else settings.instance.cpu


def memory_of(settings: Settings, facts: EngineFacts) -> int:
    """MiB that tasks may have. Raises SettingError where more is reserved than there is."""
    instance = settings.instance
    memory = (facts.memory if instance.memory is None else instance.memory) - instance.reserved_memory
    if memory < 0:
        raise SettingError(f"ECS_RESERVED_MEMORY={instance.reserved_memory} is more than the host has")
    return memory


def total_resources(settings: Settings, facts: EngineFacts) -> list[dict[str, Any]]:
    """As RegisterContainerInstance takes them. Raises SettingError."""
    instance = settings.instance
    numbers = {"CPU": cpu_of(settings, facts), "MEMORY": memory_of(settings, facts)}
    ports = {"PORTS": instance.reserved_ports, "PORTS_UDP": instance.reserved_ports_udp}
    return [{"name": name, "type": "INTEGER", "integerValue": value} for name, value in numbers.items()] + [
        {"name": name, "type": "STRINGSET", "stringSetValue": [str(port) for port in value]}
        for name, value in ports.items()
    ]
