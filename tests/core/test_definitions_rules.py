"""Each rule of RegisterTaskDefinition with what it takes, what it refuses, and ECS's words for it."""

from __future__ import annotations

import pytest

from tests.core.definition_requests import (
    ROLE,
    Request,
    a_container,
    a_request,
    refused,
    register,
    setting,
    with_container,
    with_two,
)

TASK = [
    (a_request(family="a_-9"), a_request(family="a b"), "Family contains invalid characters."),
    (a_request(family="a" * 255), a_request(family="a" * 256), "Family must be at most 255 characters long."),
    (a_request(), a_request(family=""), "Family should not be null or empty."),
    (
        a_request(placementConstraints=[{"type": "memberOf", "expression": "attribute:ecs.os-type == linux"}]),
        a_request(placementConstraints=[{"type": "memberOf"}]),
        "A placement constraint of type 'memberOf' needs an expression.",
    ),
    (
        a_request(placementConstraints=[{"type": "memberOf", "expression": "task:group == a"}] * 10),
        a_request(placementConstraints=[{"type": "memberOf", "expression": "task:group == a"}] * 11),
        "A task definition may have at most 10 placement constraints.",
    ),
    (
        a_request(),
        a_request(placementConstraints=[{"type": "memberOf", "expression": "a" * 2001}]),
        "Placement constraint expressions must be at most 2000 characters long.",
    ),
    (
        a_request(pidMode="host"),
        a_request(pidMode="host", runtimePlatform={"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}),
        "'pidMode' is not supported for Windows containers.",
    ),
    (
        a_request(
            cpu="256", memory="512", networkMode="awsvpc", ephemeralStorage={"sizeInGiB": 21}, executionRoleArn=ROLE
        ),
        a_request(ephemeralStorage={"sizeInGiB": 20}),
        "Ephemeral storage size must be from 21 to 200 GiB.",
    ),
    (
        a_request(),
        a_request(inferenceAccelerators=[{"deviceName": "d", "deviceType": "t"}]),
        "Unsupported field 'inferenceAccelerators'",
    ),
    (a_request(taskRoleArn=ROLE), a_request(taskRoleArn="arn:aws:iam::1:role/x"), "Role is not valid"),
    (
        a_request(cpu=".125 vCPU"),
        a_request(cpu="127"),
        "Invalid 'cpu' setting for task. Give CPU units from 128 to 196608 or vCPUs, such as '1024' or '1 vCPU'.",
    ),
    (
        a_request(memory="0.5GB"),
        a_request(memory="a lot"),
        "Invalid 'memory' setting for task. Give MiB or GB as a positive number, such as '1024' or '1 GB'.",
    ),
    (
        a_request(a_container(command=["x" * 60_000])),
        a_request(a_container(command=["x" * 65_536])),
        "Actual length: '65790'. Max allowed length is '65536' bytes.",
    ),
]

CONTAINERS = [
    (a_request(), {"family": "web", "containerDefinitions": []}, "Container list cannot be empty."),
    (
        a_request(*(a_container(f"c{n}") for n in range(10))),
        a_request(*(a_container(f"c{n}") for n in range(11))),
        "A task definition may have at most 10 containers.",
    ),
    (with_container(name="a-b_C"), with_container(name=""), "Container.name should not be null or empty."),
    (with_container(name="a"), with_container(name="a.b"), "Container.name contains invalid characters."),
    (
        with_container(name="a" * 255),
        with_container(name="a" * 256),
        "Container.name must be at most 255 characters long.",
    ),
    (with_container(), with_container(image=None), "Container.image should not be null or empty."),
    (
        with_two({}, {}),
        a_request(a_container("a"), a_container("a")),
        "Container.name must be unique in a task definition: 'a' is used twice.",
    ),
    (
        with_container(memory=None, memoryReservation=64),
        with_container(memory=None),
        setting("At least one of 'memory' or 'memoryReservation' must be specified."),
    ),
    (
        a_request(a_container(memory=None), memory="512"),
        with_container(memory=5),
        setting("'memory' must be at least 6 MiB."),
    ),
    (
        with_container(memory=64, memoryReservation=64),
        with_container(memory=64, memoryReservation=65),
        setting("'memory' must be greater than or equal to 'memoryReservation'."),
    ),
    (
        a_request(a_container(memory=512), memory="512"),
        a_request(a_container(memory=513, memoryReservation=10), memory="512"),
        "The 'memory' setting for container 'app' is greater than for the task.",
    ),
    (
        with_two({"memory": 256}, {"memory": 999, "memoryReservation": 256}, memory="1024"),
        with_two({"memory": 300}, {"memory": 300}, memory="512"),
        "The sum of the 'memory' settings of the containers (600) is greater than the 'memory' setting of the task "
        "(512).",
    ),
    (
        with_two({"cpu": 128}, {"cpu": 128}, cpu="256"),
        with_two({"cpu": 128}, {"cpu": 129}, cpu="256"),
        "The sum of the 'cpu' settings of the containers (257) is greater than the 'cpu' setting of the task (256).",
    ),
    (with_container(cpu=0), with_container(cpu=-1), setting("'cpu' must be from 0 to 196608 CPU units.")),
    (
        with_two({"essential": False}, {}),
        with_container(essential=False),
        "Task definition doesn't have any essential container.",
    ),
    (
        with_container(restartPolicy={"enabled": True, "restartAttemptPeriod": 60}),
        with_container(restartPolicy={"enabled": True, "restartAttemptPeriod": 59}),
        setting("'restartAttemptPeriod' must be from 60 to 1800 seconds."),
    ),
    (
        with_container(restartPolicy={"enabled": True, "ignoredExitCodes": [0] * 50}),
        with_container(restartPolicy={"enabled": True, "ignoredExitCodes": [0] * 51}),
        setting("'ignoredExitCodes' may hold at most 50 exit codes."),
    ),
    (
        with_container(stopTimeout=2),
        with_container(stopTimeout=1),
        "Granular stop timeout on container 'app' must be at least 2 seconds.",
    ),
    (
        with_container(startTimeout=600),
        with_container(startTimeout=0),
        "Granular start timeout on container 'app' must be at least 2 seconds.",
    ),
    (
        with_container(resourceRequirements=[{"type": "GPU", "value": "2"}]),
        with_container(resourceRequirements=[{"type": "GPU", "value": "0"}]),
        setting("The value of a GPU resource requirement must be a whole number or 'ALL'."),
    ),
    (
        with_container(resourceRequirements=[{"type": "GPU", "value": "ALL"}]),
        with_container(resourceRequirements=[{"type": "GPU", "value": "1"}] * 2),
        setting("'resourceRequirements' may name each type once."),
    ),
    (
        with_container(resourceRequirements=[{"type": "NeuronDevice", "value": "ALL"}]),
        with_container(resourceRequirements=[{"type": "NeuronDevice", "value": "1"}]),
        setting("The value of a NeuronDevice resource requirement must be 'ALL'."),
    ),
    (
        a_request(),
        with_two(*[{"resourceRequirements": [{"type": "NeuronDevice", "value": "ALL"}]}] * 2),
        "Only one container of a task definition may require NeuronDevice resources.",
    ),
    (
        with_two({"resourceRequirements": [{"type": "GPU", "value": "ALL"}]}, {}),
        with_two(*[{"resourceRequirements": [{"type": "GPU", "value": value}]} for value in ("ALL", "1")]),
        "Where a container requires ALL GPUs, no other of its task definition may require any.",
    ),
    (
        a_request(),
        with_container(resourceRequirements=[{"type": "InferenceAccelerator", "value": "d"}]),
        "Unsupported field 'inferenceAccelerators'",
    ),
    (
        with_container(credentialSpecs=["credentialspec:arn:aws:s3:::b/k"]),
        with_container(credentialSpecs=["credentialspec:a", "credentialspec:b"]),
        "Container 'app' may have at most one credential spec.",
    ),
]

DEPENDS = {"dependsOn": [{"containerName": "b", "condition": "START"}]}
DEPENDENCIES = [
    (
        with_two(DEPENDS, {}),
        with_container(dependsOn=[{"containerName": "b", "condition": "START"}]),
        "Cannot depend on container + 'b' because it does not exist",
    ),
    *(
        (
            with_two({"dependsOn": [{"containerName": "b", "condition": condition}]}, {"essential": False}),
            with_two({"dependsOn": [{"containerName": "b", "condition": condition}]}, {}),
            "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
        )
        for condition in ("SUCCESS", "COMPLETE")
    ),
    (
        with_two(
            {"dependsOn": [{"containerName": "b", "condition": "HEALTHY"}]},
            {"healthCheck": {"command": ["CMD", "true"]}},
        ),
        with_two({"dependsOn": [{"containerName": "b", "condition": "HEALTHY"}]}, {}),
        "A dependency container with HEALTHY condition must have health check configured",
    ),
    (
        with_two(DEPENDS, {}),
        with_two(DEPENDS, {"volumesFrom": [{"sourceContainer": "a"}]}),
        "Container dependencies cannot be circular: a -> b -> a",
    ),
    (
        with_two({"links": ["b:db"]}, {}),
        with_two({"links": ["b"]}, {"dependsOn": [{"containerName": "a", "condition": "START"}]}),
        "Container dependencies cannot be circular: a -> b -> a",
    ),
    (
        a_request(),
        with_container(dependsOn=[{"containerName": "app", "condition": "START"}]),
        "Container dependencies cannot be circular: app -> app",
    ),
]

HEALTH = [
    (
        with_container(healthCheck={"command": ["CMD-SHELL", "true"], member: good}),
        with_container(healthCheck={"command": ["CMD-SHELL", "true"], member: bad}),
        f"Invalid health check of container 'app'. '{member}' must be from {bounds}.",
    )
    for member, good, bad, bounds in (
        ("interval", 5, 4, "5 to 300"),
        ("interval", 300, 301, "5 to 300"),
        ("timeout", 60, 1, "2 to 60"),
        ("retries", 10, 11, "1 to 10"),
        ("startPeriod", 0, 301, "0 to 300"),
    )
] + [
    (
        with_container(healthCheck={"command": ["curl", "-f", "http://localhost"]}),
        with_container(healthCheck={"command": ["CMD"]}),
        "Invalid health check of container 'app'. 'command' must be CMD or CMD-SHELL and the command to run.",
    )
]


@pytest.mark.parametrize(("good", "bad", "text"), TASK + CONTAINERS + DEPENDENCIES + HEALTH)
def test_rule(good: Request, bad: Request, text: str) -> None:
    register(good)
    assert refused(bad) == text
