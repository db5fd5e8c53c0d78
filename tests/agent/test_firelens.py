"""Log routers: the configurations that are made for them, and how the containers of their task are created."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from awsorch.agent.firelens_config import Route, Router, RouterError, text_of
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task
from tests.agent.test_inputs import NAMED, give_role
from tests.agent.worlds import World
from tests.agent.worlds import play as play_world

APP = Route(
    container="app",
    options={
        "Name": "firehose",
        "@type": "kinesis",
        "region": "us-east-1",
        "include-pattern": "^keep",
        "exclude-pattern": "drop$",
        "log-driver-buffer-limit": "100",
    },
    secret_options=("api-key",),
)
FLUENT_BIT = """[INPUT]
    Name tcp
    Tag firelens-healthcheck
    Listen 127.0.0.1
    Port 8877

[INPUT]
    Name forward
    Mem_Buf_Limit 32MB
    unix_path /var/run/fluent.sock

[INPUT]
    Name forward
    Listen 0.0.0.0
    Port 24224

[FILTER]
    Name record_modifier
    Match *
    Record ecs_cluster c1

[FILTER]
    Name grep
    Match app-firelens*
    Regex log ^keep

[FILTER]
    Name grep
    Match app-firelens*
    Exclude log drop$

@INCLUDE /own.conf

[OUTPUT]
    Name null
    Match firelens-healthcheck

[OUTPUT]
    Name firehose
    Match app-firelens*
    @type kinesis
    region us-east-1
    api-key ${API_KEY_APP}
"""
FLUENTD = """<source>
  @type unix
  path /var/run/fluent.sock
</source>

<source>
  @type forward
  bind 127.0.0.1
  port 24224
</source>

<filter app-firelens**>
  @type grep
  <regexp>
    key log
    pattern ^keep
  </regexp>
</filter>

<filter app-firelens**>
  @type grep
  <exclude>
    key log
    pattern drop$
  </exclude>
</filter>

<match app-firelens**>
  @type kinesis
  Name firehose
  region us-east-1
  api-key "#{ENV['API_KEY_APP']}"
</match>
"""


def test_fluent_bit() -> None:
    router = Router(kind="fluentbit", routes=(APP,), added={"ecs_cluster": "c1"}, external="/own.conf", memory=64)
    assert text_of(router) == FLUENT_BIT


def test_fluentd() -> None:
    assert text_of(Router(kind="fluentd", routes=(APP,), bind="127.0.0.1")) == FLUENTD


@pytest.mark.parametrize(("kind", "key"), [("fluentbit", "Name"), ("fluentd", "@type")])
def test_an_output_has_to_be_named(kind: str, key: str) -> None:
    with pytest.raises(RouterError, match=f"missing output key {key}"):
        text_of(Router(kind=kind, routes=(Route(container="app", options={"region": "us-east-1"}),)))
    only_of_driver = Route(container="app", options={"log-driver-buffer-limit": "5"})
    assert "app-firelens" not in text_of(Router(kind=kind, routes=(only_of_driver,))), "its own file says where to"


def test_an_option_cannot_begin_a_section() -> None:
    sly = Route(container="app", options={"Name": "null\n[OUTPUT]\n    Name exec"})
    assert text_of(Router(kind="fluentbit", routes=(sly,))).count("[OUTPUT]\n") == 2


def routed(name: str, **options: str) -> acs.Container:
    return a_container(name, host_config={"LogConfig": {"Type": "awsfirelens", "Config": options}})


def a_router(**options: str) -> acs.Container:
    firelens = acs.FirelensConfiguration(type="fluentbit", options=options)
    return a_container("router", firelens_configuration=firelens, memory=64)


def body_of(world: World, task: acs.Task, name: str) -> dict[str, Any]:
    return dict(world.engine.created[world.supervisor._tasks[task.arn].names.containers[name]])


def test_lines_go_to_the_router_which_starts_first(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.place = dataclasses.replace(world.place, firelens_folder=str(tmp_path / "firelens"))
        await world.start()
        world.services.parameters = {"key": "hush"}
        world.services.objects = {"config/own.conf": b"[OUTPUT]\n    Name stdout\n    Match *\n"}
        key = acs.Secret(name="api-key", value_from="key", region="us-east-1", provider="ssm", target="LOG_DRIVER")
        app = routed("app", Name="http", **{"log-driver-buffer-limit": "99"})
        app = acs.Container(**{**{name: getattr(app, name) for name in app.__struct_fields__}, "secrets": (key,)})
        value = "arn:aws:s3:::config/own.conf"
        router = a_router(**{"config-file-type": "s3", "config-file-value": value})
        task = a_task(app, router, a_container("plain"), execution_role_credentials=NAMED)
        await world.run(task)
        await give_role(world, task)
        await world.reported(task, "RUNNING")
        names = world.supervisor._tasks[task.arn].names.containers
        assert world.engine.starts.index(names["router"]) < world.engine.starts.index(names["app"])
        folder = tmp_path / "firelens" / task.arn.rpartition("/")[2]
        assert body_of(world, task, "app")["HostConfig"]["LogConfig"] == {
            "Type": "fluentd",
            "Config": {
                "tag": f"app-firelens-{folder.name}",
                "fluentd-address": f"unix://{folder}/socket/fluent.sock",
                "fluentd-async": "true",
                "fluentd-sub-second-precision": "true",
                "fluentd-buffer-limit": "99",
            },
        }
        body = body_of(world, task, "router")
        assert body["HostConfig"]["Binds"] == [
            f"{folder}/config/fluent.conf:/fluent-bit/etc/fluent-bit.conf",
            f"{folder}/socket:/var/run",
            f"{folder}/config/external.conf:/fluent-bit/etc/external.conf",
        ]
        assert "API_KEY_APP=hush" in body["Env"]
        text = (folder / "config" / "fluent.conf").read_text()
        assert "api-key ${API_KEY_APP}" in text
        assert f"Record ecs_task_arn {task.arn}" in text
        assert "@INCLUDE /fluent-bit/etc/external.conf" in text
        assert (folder / "config" / "external.conf").read_text().startswith("[OUTPUT]")
        assert "LogConfig" not in body_of(world, task, "plain")["HostConfig"]
        assert "hush" not in json.dumps([body_of(world, task, "app"), text])

    play_world(tmp_path, scenario)


def test_a_router_that_cannot_be_configured_stops_the_task(tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        world.place = dataclasses.replace(world.place, firelens_folder=str(tmp_path / "firelens"))
        await world.start()
        task = a_task(routed("app", region="us-east-1"), a_router())
        await world.run(task)
        said = await world.reported(task, "STOPPED")
        assert said["reason"] == (
            "ResourceInitializationError: the log router cannot be configured: missing output key Name which is "
            "required for firelens configuration of type fluentbit (container app)"
        )
        assert not world.engine.created

    play_world(tmp_path, scenario)
