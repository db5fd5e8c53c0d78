"""The parts of Docker's own configuration that a payload carries as JSON (`dockerConfig`)."""

import json
from collections.abc import Mapping
from typing import Any

from awsorch.wire import acs


class ConfigError(Exception):
    """A dockerConfig that is not valid JSON; the text is the container's reason."""


def decode(container: acs.Container, which: str, *, lenient: bool = False) -> dict[str, Any]:
    """Its config or hostConfig; a lenient reader takes what is not valid for nothing. Raises ConfigError."""
    config = container.docker_config
    text = "" if config is None else config.config if which == "config" else config.host_config
    if not text:
        return {}
    try:
        value = json.loads(text)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise ValueError("it is not an object")
    except ValueError as error:
        if lenient:
            return {}
        name = "DockerClientConfigError" if which == "config" else "HostConfigError"
        raise ConfigError(f"{name}: Unable to decode given {which} of Docker: {error}") from None
    return value


def lay_over(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Objects are merged, everything else replaces what is there; null says nothing."""
    for key, value in over.items():
        if value is None:
            continue
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            lay_over(base[key], value)
        else:
            base[key] = value


def log_options(container: acs.Container, driver: str) -> Mapping[str, str] | None:
    """The log options of a container with this log driver; None for any other."""
    log = decode(container, "hostConfig", lenient=True).get("LogConfig") or {}
    return log.get("Config") or {} if log.get("Type") == driver else None
