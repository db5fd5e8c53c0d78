"""The demo's third part: a job that is too large for its Auto Scaling group, which grows for it and shrinks again."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

from demo_stage import Cloud, expect, show, title, until

FLEET, JOB = "fleet", "job"
TASKS, SECONDS = 40, 4
MINIMUM, MAXIMUM = 2, 8
#: Eight of them fill an instance of two vCPUs.
CPU = 256
USER_DATA = "#!/bin/bash\necho ECS_CLUSTER=default >> /etc/ecs/ecs.config\n"


def make_group(cloud: Cloud) -> None:
    """A launch template, an Auto Scaling group of two, and its capacity provider."""
    title(f"An Auto Scaling group of {MINIMUM} instances, at most {MAXIMUM}, with a capacity provider")
    ec2, scaling = cloud.client("ec2"), cloud.client("autoscaling")
    running = ec2.describe_instances(Filters=[{"Name": "instance-state-name", "Values": ["running"]}])
    model = running["Reservations"][0]["Instances"][0]
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [model["VpcId"]]}])["Subnets"]
    template = {
        "ImageId": model["ImageId"],
        "InstanceType": "t3.medium",
        "UserData": base64.b64encode(USER_DATA.encode()).decode(),
    }
    ec2.create_launch_template(LaunchTemplateName=FLEET, LaunchTemplateData=template)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName=FLEET,
        LaunchTemplate={"LaunchTemplateName": FLEET},
        MinSize=MINIMUM,
        MaxSize=MAXIMUM,
        VPCZoneIdentifier=",".join(one["SubnetId"] for one in subnets[:2]),
    )
    (group,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=[FLEET])["AutoScalingGroups"]
    provider = {"autoScalingGroupArn": group["AutoScalingGroupARN"], "managedScaling": {"status": "ENABLED"}}
    show("ecs.create_capacity_provider(…, managedScaling={'status': 'ENABLED'})", style="bold")
    cloud.ecs.create_capacity_provider(name=FLEET, autoScalingGroupProvider=provider)
    cloud.ecs.put_cluster_capacity_providers(
        cluster="default",
        capacityProviders=[FLEET],
        defaultCapacityProviderStrategy=[{"capacityProvider": FLEET, "weight": 1}],
    )
    until("both instances have joined", lambda: len(fleet(cloud)) == MINIMUM)


def grow(cloud: Cloud) -> None:
    """Forty tasks for which two instances are too few; first what that would take, then in earnest."""
    title(f"A job of {TASKS} tasks: what would it take?")
    job = {
        "name": JOB,
        "image": "awsorch/busybox:latest",
        "cpu": CPU,
        "memory": 32,
        "command": ["sleep", str(SECONDS)],
        "linuxParameters": {"initProcessEnabled": True},
    }
    cloud.ecs.register_task_definition(family=JOB, containerDefinitions=[job])
    cloud.awsorch("plan", "--add", f"{JOB}={TASKS}")
    plan = json.loads(cloud.quietly("plan", "--add", f"{JOB}={TASKS}", "--json"))
    more = sum(each["count"] for each in plan["launches"])
    expect(len(fleet(cloud)) == MINIMUM and more > 0, "nothing is launched yet, but would be")
    title("The job is run: instances appear")
    began = time.monotonic()
    cloud.awsorch("run", JOB, "--count", str(TASKS))
    cloud.awsorch("capacity")
    until("the instances are there", lambda: len(fleet(cloud)) == MINIMUM + more)
    show(f"{MINIMUM + more} instances, as planned, {time.monotonic() - began:.1f} s after the job began")
    until("no task waits", lambda: "PROVISIONING" not in statuses(cloud))
    cloud.awsorch("capacity")
    until("every task has run", lambda: statuses(cloud) == {"STOPPED"})
    show(f"all {TASKS} tasks have run {time.monotonic() - began:.1f} s after the job began")
    ended = {one.get("exitCode") for task in tasks_of(cloud) for one in task["containers"]}
    expect(ended == {0}, f"each exited with 0, not {ended}")


def shrink(cloud: Cloud) -> None:
    """What nothing needs any more is given back."""
    title("The instances go away again")
    cloud.awsorch("capacity")
    began = time.monotonic()
    until(f"the group has {MINIMUM} again", lambda: len(fleet(cloud)) == MINIMUM and size(cloud) == MINIMUM)
    show(f"{MINIMUM} instances again {time.monotonic() - began:.1f} s later")
    (provider,) = json.loads(cloud.quietly("capacity", "--json"))["providers"]
    expect(not provider["next"], "nothing is left to end, and the minimum is kept")


def fleet(cloud: Cloud) -> list[dict[str, Any]]:
    """The instances of the group whose agents are connected."""
    arns = cloud.ecs.list_container_instances()["containerInstanceArns"]
    instances = cloud.ecs.describe_container_instances(containerInstances=arns)["containerInstances"]
    return [one for one in instances if one.get("capacityProviderName") == FLEET and one["agentConnected"]]


def size(cloud: Cloud) -> int:
    """The instances that Auto Scaling has in the group."""
    found = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[FLEET])
    return len(found["AutoScalingGroups"][0]["Instances"])


def tasks_of(cloud: Cloud) -> list[dict[str, Any]]:
    """The job's tasks."""
    answer = cloud.ecs.describe_tasks(tasks=cloud.tasks[-TASKS:])
    expect(not answer["failures"], "DescribeTasks knows every task of the job")
    return list(answer["tasks"])


def statuses(cloud: Cloud) -> set[str]:
    return {task["lastStatus"] for task in tasks_of(cloud)}


CAPACITY_SCENES: tuple[Any, ...] = (make_group, grow, shrink)
