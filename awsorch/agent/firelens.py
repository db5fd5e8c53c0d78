"""A task's log router (FireLens) on its instance: its configuration and its socket, and how containers send it lines.

The router is a container of the task's; Docker's fluentd driver brings it the others' lines through a socket in a
folder of the task's. The folder is made before the router, and goes when the task is cleaned up.
"""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awsorch.agent.docker_config import log_options
from awsorch.agent.engine import CreateArguments
from awsorch.agent.environment import NONE, Inputs, Placement
from awsorch.agent.firelens_config import (
    CONFIG_PATHS,
    EXTERNAL_PATHS,
    FLUENT_BIT,
    PORT,
    Route,
    Router,
    RouterError,
    text_of,
    variable_of,
)
from awsorch.wire import acs

DRIVER = "awsfirelens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is known at the moment of creation: each container's inputs, and where the router is in the network."""

    inputs: Mapping[str, Inputs]
    router_address: str = ""


_NETWORK_MODES_ALONE = ("awsvpc", "host")
_TASK_ID = re.compile(r"[^/]+$")


def router_of(task: acs.Task) -> acs.Container | None:
    """The container that routes, if the task has one."""
    return next((each for each in task.containers if each.firelens_configuration is not None), None)


def folder_of(task: acs.Task, place: Placement) -> Path:
    """Where the task's configuration and socket are."""
    found = _TASK_ID.search(task.arn)
    assert found is not None, task.arn
    return Path(place.firelens_folder) / found[0]


def log_config(
    task: acs.Task, container: acs.Container, options: Mapping[str, str], place: Placement
) -> dict[str, Any]:
    """Docker's LogConfig of a container whose lines go to the router."""
    sent = {
        "tag": f"{container.name}-firelens-{folder_of(task, place).name}",
        "fluentd-address": f"unix://{folder_of(task, place)}/socket/fluent.sock",
        "fluentd-async": "true",
        "fluentd-sub-second-precision": "true",
    }
    if "log-driver-buffer-limit" in options:
        sent["fluentd-buffer-limit"] = options["log-driver-buffer-limit"]
    return {"Type": "fluentd", "Config": sent}


def binds_of(task: acs.Task, container: acs.Container, place: Placement) -> list[str]:
    """What the router finds in its file system besides its own."""
    firelens = container.firelens_configuration
    if firelens is None:
        return []
    folder = folder_of(task, place)
    binds = [f"{folder}/config/fluent.conf:{CONFIG_PATHS[firelens.type]}", f"{folder}/socket:/var/run"]
    if firelens.options.get("config-file-type") == "s3":
        binds.append(f"{folder}/config/external.conf:{EXTERNAL_PATHS[firelens.type]}")
    return binds


def complete(
    task: acs.Task, container: acs.Container, arguments: CreateArguments, place: Placement, given: Given
) -> CreateArguments:
    """What a router, or one whose lines go to it, is created with; any other container as it was. A router's files are
    made; again is no error. Raises RouterError, OSError."""
    options = {each.name: found for each in task.containers if (found := log_options(each, DRIVER)) is not None}
    sends = container.name in options
    if not (sends or container.firelens_configuration is not None):
        return arguments
    host = dict(arguments.body["HostConfig"])
    variables: dict[str, str] = {}
    if sends:
        host["LogConfig"] = log_config(task, container, options[container.name], place)
        if given.router_address:
            variables |= {"FLUENT_HOST": given.router_address, "FLUENT_PORT": str(PORT)}
    if container.firelens_configuration is not None:
        _make_files(task, container, options, place, given)
        host["Binds"] = [*host.get("Binds", ()), *binds_of(task, container, place)]
        for name in options:
            secret = given.inputs.get(name, NONE).log_options
            variables |= {variable_of(option, name): value for option, value in secret.items()}
    body = dict(arguments.body)
    body["Env"] = [*body["Env"], *(f"{name}={value}" for name, value in variables.items())]
    body["HostConfig"] = host
    return CreateArguments(name=arguments.name, body=body)


def _make_files(
    task: acs.Task, router: acs.Container, options: Mapping[str, Mapping[str, str]], place: Placement, given: Given
) -> None:
    text = text_of(_described(task, router, options, place))
    folder = folder_of(task, place)
    for name in ("config", "socket"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "socket").chmod(0o777)  # the router need not be root
    (folder / "config" / "fluent.conf").write_text(text)
    external = given.inputs.get(router.name, NONE).router_config
    if external:
        (folder / "config" / "external.conf").write_text(external)


def remove(task: acs.Task, place: Placement) -> None:
    """The task's containers are gone."""
    if router_of(task) is not None and place.firelens_folder:
        shutil.rmtree(folder_of(task, place), ignore_errors=True)


def _described(
    task: acs.Task, router: acs.Container, options: Mapping[str, Mapping[str, str]], place: Placement
) -> Router:
    firelens = router.firelens_configuration
    assert firelens is not None
    if firelens.type not in CONFIG_PATHS:
        raise RouterError(f"firelensConfiguration type should be fluentd or fluentbit, not {firelens.type!r}")
    added = {}
    if firelens.options.get("enable-ecs-log-metadata") != "false":
        added = {
            "ecs_cluster": place.cluster,
            "ecs_task_arn": task.arn,
            "ecs_task_definition": f"{task.family}:{task.version}",
        }
    kind = firelens.options.get("config-file-type")
    external = firelens.options.get("config-file-value", "") if kind == "file" else ""
    secret = {
        each.name: tuple(one.name for one in each.secrets if one.target == "LOG_DRIVER") for each in task.containers
    }
    return Router(
        kind=firelens.type,
        routes=tuple(
            Route(container=name, options=given, secret_options=secret[name]) for name, given in options.items()
        ),
        bind="127.0.0.1" if task.network_mode in _NETWORK_MODES_ALONE else "0.0.0.0",
        added=added,
        external=EXTERNAL_PATHS[firelens.type] if kind == "s3" else external,
        memory=router.memory if firelens.type == FLUENT_BIT else 0,
    )
