"""The environment variables, read."""

import pytest

from awsorch.agent.settings import DEFAULT_RESERVED_PORTS, SettingError, load, parse_duration


def test_defaults_are_the_official_agent_s() -> None:
    settings = load({})
    assert (settings.cluster, settings.external, settings.checkpoint) == ("default", False, False)
    assert settings.instance.reserved_ports == DEFAULT_RESERVED_PORTS
    assert settings.instance.logging_drivers == ("json-file", "none")
    assert settings.engine.cleanup_wait == 3 * 3600
    assert (settings.engine.stop_timeout, settings.engine.start_timeout) == (30, 180)
    assert settings.engine.pull_behavior == "default"
    assert (settings.task_endpoint_port, settings.task_endpoint_rate) == (51679, (40, 60))


def test_everything_can_be_said() -> None:
    settings = load(
        {
            "ECS_CLUSTER": "c1",
            "ECS_BACKEND_HOST": "ecs.example:8443",
            "ECS_DATADIR": "/data",
            "ECS_RESERVED_PORTS": "[22, 80]",
            "ECS_INSTANCE_ATTRIBUTES": '{"a": "b"}',
            "ECS_DYNAMIC_HOST_PORT_RANGE": "40000-40100",
            "ECS_CONTAINER_STOP_TIMEOUT": "1m30s",
            "ECS_IMAGE_PULL_BEHAVIOR": "once",
            "AWSORCH_PORT_BIND_ADDRESS": "127.0.0.9",
            "AWSORCH_TASK_ENDPOINT_PORT": "0",
            "ECS_TASK_METADATA_RPS_LIMIT": "10, 20",
        }
    )
    assert settings.backend_host == "https://ecs.example:8443"
    assert settings.checkpoint, "a data directory means that state is kept"
    assert settings.instance.reserved_ports == (22, 80)
    assert settings.instance.attributes == {"a": "b"}
    assert settings.instance.dynamic_port_range == (40000, 40100)
    assert settings.instance.port_bind_address == "127.0.0.9"
    assert (settings.task_endpoint_port, settings.task_endpoint_rate) == (0, (10, 20))
    assert (settings.engine.stop_timeout, settings.engine.pull_behavior) == (90, "once")


def test_limits_from_below() -> None:
    settings = load({"ECS_CONTAINER_START_TIMEOUT": "1s", "ECS_ENGINE_TASK_CLEANUP_WAIT_DURATION": "1ms"})
    assert (settings.engine.start_timeout, settings.engine.cleanup_wait) == (45, 1)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("1h30m", 5400.0), ("250ms", 0.25), ("1.5h", 5400.0), ("1µs", 1e-6)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("name", "value", "right"),
    [
        ("ECS_CONTAINER_STOP_TIMEOUT", "30", "90s"),
        ("ECS_CONTAINER_STOP_TIMEOUT", "3 s", "90s"),
        ("ECS_EXTERNAL", "maybe", "true or false"),
        ("ECS_RESERVED_MEMORY", "-1", "whole number"),
        ("ECS_RESERVED_PORTS", "22", "JSON list"),
        ("ECS_RESERVED_PORTS", "[99999]", "JSON list"),
        ("ECS_INSTANCE_ATTRIBUTES", "{", "valid JSON"),
        ("ECS_INSTANCE_ATTRIBUTES", '{"a": 1}', "JSON object of strings"),
        ("ECS_AVAILABLE_LOGGING_DRIVERS", '"json-file"', "JSON list of strings"),
        ("ECS_DYNAMIC_HOST_PORT_RANGE", "9-1", "range of ports"),
        ("ECS_IMAGE_PULL_BEHAVIOR", "never", "prefer-cached"),
        ("AWSORCH_TASK_ENDPOINT_PORT", "65536", "or 0 for any"),
        ("ECS_TASK_METADATA_RPS_LIMIT", "40", '"40,60"'),
        ("ECS_TASK_METADATA_RPS_LIMIT", "0,60", '"40,60"'),
    ],
)
def test_what_cannot_be_used_is_named_with_what_would_be_right(name: str, value: str, right: str) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        load({name: value})
    assert right in str(caught.value)


def test_what_is_cleaned_up_of_others_is_said_by_the_official_agent_s_variables() -> None:
    assert not load({}).engine.untracked_cleanup
    engine = load(
        {
            "ECS_ENABLE_UNTRACKED_IMAGE_CLEANUP": "true",
            "NON_ECS_IMAGE_MINIMUM_CLEANUP_AGE": "2h",
            "ECS_EXCLUDE_UNTRACKED_IMAGE": "busybox:1, alpine ,",
            "NONECS_NUM_CONTAINERS_DELETE_PER_CYCLE": "7",
            "ECS_NUM_IMAGES_DELETE_PER_CYCLE": "9",
        }
    ).engine
    assert (engine.untracked_cleanup, engine.untracked_minimum_age) == (True, 7200)
    assert engine.untracked_excluded == ("busybox:1", "alpine")
    assert (engine.containers_per_cleanup, engine.images_per_cleanup) == (7, 9)
