"""Records with every member that does not matter filled in: ``a_task(group="web")`` says what does."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from awsorch.core import model, model_access, model_capacity, model_services, model_story
from awsorch.core.model_attachments import INTERFACE, Attachment, TaskNetwork
from awsorch.core.model_custom_resources import CustomRequest
from awsorch.core.resources import demand_of

ACCOUNT = "123456789012"
REGION = "us-east-1"


def arn(resource: str) -> str:
    """The ARN of something of ECS in the tests' account."""
    return f"arn:aws:ecs:{REGION}:{ACCOUNT}:{resource}"


def a_cluster(name: str = "default", **members: Any) -> model.Cluster:
    """An ACTIVE cluster."""
    return replace(model.Cluster(name=name, arn=arn(f"cluster/{name}"), created_at=1.0), **members)


def a_definition(
    family: str = "web", revision: int = 1, *, cpu: int = 256, memory: int = 128, port: int = 0, **members: Any
) -> model.TaskDefinition:
    """An ACTIVE revision with one container, "app"; ``port`` is its host port, 0 for none."""
    container: dict[str, Any] = {
        "name": "app",
        "image": "busybox",
        "cpu": cpu,
        "memory": memory,
        "essential": True,
        "environment": [],
        "mountPoints": [],
        "volumesFrom": [],
        "portMappings": [],
    }
    if port:
        container["portMappings"] = [{"containerPort": 80, "hostPort": port, "protocol": "tcp"}]
    document = {
        "containerDefinitions": [container],
        "networkMode": "bridge",
        "volumes": [],
        "requiresAttributes": [],
        "placementConstraints": [],
        "compatibilities": ["EC2"],
    }
    made = model.TaskDefinition(
        family=family,
        revision=revision,
        arn=arn(f"task-definition/{family}:{revision}"),
        definition=document,
        registered_at=1.0,
        registered_by=f"arn:aws:iam::{ACCOUNT}:root",
    )
    return replace(made, **members)


def an_instance(id: str = "0" * 31 + "1", *, cpu: int = 2048, memory: int = 3884, **members: Any) -> Any:
    """An ACTIVE, connected container instance in us-east-1a."""
    made = model.ContainerInstance(
        id=id,
        arn=arn(f"container-instance/default/{id}"),
        resources=model.Resources(cpu=cpu, memory=memory, reserved_tcp=(22, 2375)),
        attributes={"ecs.availability-zone": "us-east-1a", "ecs.os-type": "linux", "bare": None},
        agent_connected=True,
        agent_session="s-1",
        registered_at=1.0,
    )
    return replace(made, **members)


def a_task(id: str = "a" * 32, *, definition: model.TaskDefinition | None = None, **members: Any) -> model.Task:
    """A PENDING task with one container, placed nowhere."""
    of = definition or a_definition()
    container = model.Container(name="app", arn=arn(f"container/default/{id}/c"), image="busybox")
    made = model.Task(
        id=id,
        arn=arn(f"task/default/{id}"),
        definition=of.key,
        definition_arn=of.arn,
        group=f"family:{of.family}",
        containers=(container,),
        demand=demand_of(of.definition, {}),
        cpu="256",
        memory="128",
        created_at=1.0,
    )
    return replace(made, **members)


def a_service(name: str = "web", **members: Any) -> model_services.Service:
    """An ACTIVE replica service with one deployment, number 1, of two tasks."""
    made = model_services.Service(
        name=name,
        arn=arn(f"service/default/{name}"),
        desired_count=2,
        configuration={"maximumPercent": 200, "minimumHealthyPercent": 100},
        created_at=1.0,
        created_by=f"arn:aws:iam::{ACCOUNT}:root",
        deployment="1",
    )
    return replace(made, **members)


def a_target(task_id: str = "a" * 32, **members: Any) -> model_services.Target:
    """A target that is wanted in a target group of service web."""
    made = model_services.Target(
        group=f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:targetgroup/web/1",
        target_id="i-1",
        port=32768,
        task_id=task_id,
        service="web",
        changed_at=1.0,
    )
    return replace(made, **members)


def records_of_services() -> list[Any]:
    """One of each class of core.model_services, with its optional members filled in."""
    balancer = model.LoadBalancer(target_group_arn=a_target().group, container_name="app", container_port=80)
    count = model_services.RevisionCount(revision="1", requested=2, running=1, pending=1)
    definition = a_definition()
    return [
        a_service(
            constraints=(model.Constraint(type="distinctInstance"),),
            strategies=(model.Strategy(type="spread", field="instanceId"),),
            tags={"a": "b"},
            problems={"placement": model_services.Problem(text="no room", said_at=2.0)},
        ),
        model_services.ServiceRevision(
            service="web",
            number="1",
            arn=arn("service-revision/default/web/1"),
            definition=definition.key,
            definition_arn=definition.arn,
            load_balancers=(balancer,),
            document={"serviceRegistries": [{"registryArn": "r"}]},
            image_digests={"app": "sha256:" + "0" * 64},
            created_at=1.0,
        ),
        model_services.Deployment(service="web", number="1", revision="1", created_at=1.0, updated_at=1.0),
        model_services.ServiceDeployment(
            id="d1",
            service="web",
            arn=arn("service-deployment/default/web/d1"),
            target_revision="1",
            sources=(count,),
            target=count,
            rollback=model_services.Rollback(reason="r", started_at=2.0, revision="1"),
            triggered_alarms=("high",),
            created_at=1.0,
            updated_at=1.0,
        ),
        model_services.ServiceEvent(service="web", number=1, id="e1", created_at=1.0, message="(service web) …"),
        a_target(state="healthy", leaving=True),
    ]


def a_provider(**members: Any) -> model_capacity.Provider:
    """An Auto Scaling group's provider in its cluster: managed scaling on, the group seen, 0 to 10 instances."""
    made = model_capacity.Provider(
        name="cp",
        arn=arn("capacity-provider/cp"),
        cluster="default",
        type=model_capacity.GROUP,
        group=f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:u:autoScalingGroupName/cp",
        scaling=model_capacity.ManagedScaling(enabled=True),
        offers=(an_offer(),),
        zones={"us-east-1a": "subnet-a", "us-east-1b": "subnet-b"},
        minimum=0,
        maximum=10,
        desired=0,
        seen_at=1.0,
        hooked=True,
    )
    return replace(made, **members)


def an_offer(**members: Any) -> model_capacity.Offer:
    """Two vCPU and nearly 4 GiB."""
    made = model_capacity.Offer(instance_type="t3.medium", cpu=2048, memory=3883, price=0.0416)
    return replace(made, **members)


def a_machine(**members: Any) -> model_capacity.Machine:
    """An instance in service in the group of provider cp."""
    made = model_capacity.Machine(
        id="i-1", provider="cp", zone="us-east-1a", instance_type="t3.medium", state="InService", since=1.0
    )
    return replace(made, **members)


def an_activation(**members: Any) -> model_access.Activation:
    """One for a single machine, made at 1.0 and good for a day. Its code is "code"."""
    made = model_access.Activation(
        id="a-1",
        cluster="default",
        code_digest=hashlib.sha256(b"code").hexdigest(),
        limit=1,
        attributes={"site": "attic"},
        created_by=arn("root"),
        created_at=1.0,
        expires_at=86401.0,
    )
    return replace(made, **members)


def an_external_instance(**members: Any) -> model_access.ExternalInstance:
    """The machine that joined by it."""
    made = model_access.ExternalInstance(
        id="mi-0123456789abcdef0",
        activation="a-1",
        cluster="default",
        fingerprint="f" * 64,
        access_key_id="AKEX1",
        joined_at=2.0,
    )
    return replace(made, **members)


def records_of_capacity() -> list[Any]:
    """One of each class of core.model_capacity that is stored, with its optional members filled in."""
    failure = model_capacity.LaunchFailure(code="InsufficientInstanceCapacity", message="m", since=1.0, until=2.0)
    return [
        model_capacity.CapacityProvider(
            name="cp",
            arn=arn("capacity-provider/cp"),
            type=model_capacity.MANAGED,
            managed={"infrastructureRoleArn": "r"},
            cluster="default",
            tags={"a": "b"},
            created_at=1.0,
        ),
        a_provider(failure=failure, wanted=2),
        a_machine(ending="empty", idle_since=2.0),
        model_capacity.Launch(id="o1", provider="cp", offer=an_offer(spot=True), zone="us-east-1a", ordered_at=1.0),
    ]


def a_custom_request() -> CustomRequest:
    """An update of a service that waits for its deployment."""
    return CustomRequest(
        key="0123abcd",
        stack_id="arn:aws:cloudformation:us-east-1:123456789012:stack/shop/1",
        request_id="2",
        logical_id="Service",
        action="UPDATE",
        type="AWS::ECS::Service",
        former_type="AWS::ECS::Service",
        model={"DesiredCount": "2", "Tags": [{"Key": "a", "Value": "b"}]},
        previous={"DesiredCount": "1"},
        physical_id=arn("service/c/web"),
        response_url="https://there/answer",
        sent_at=1.5,
        since=2.5,
        doing="UPDATE",
        made=arn("service/c/web"),
        attributes={"Name": "web"},
        callback={"deployment": "3"},
        tries=1,
    )


def one_of_each() -> list[Any]:
    """A record of every class that is stored, with its optional members filled in."""
    entry = model_story.StoryEntry(at=2.5, what="placed", cause="r-1")
    refused = model_story.Refused(filter="memory", reason="not enough", instances=2, instance_ids=("i1", "i2"))
    binding = model.NetworkBinding(bind_ip="0.0.0.0", container_port=80, host_port=32768)
    container = model.Container(
        name="app",
        arn=arn("container/default/t/c"),
        image="busybox",
        exit_code=137,
        reason="Killed",
        network_bindings=(binding,),
        memory=128,
        gpu_ids=("gpu-1",),
    )
    return [
        a_custom_request(),
        a_cluster(settings={"containerInsights": "disabled"}, tags={"team": "a"}, deleted_at=9.0),
        model.Family(name="web", last_revision=7),
        a_definition(port=8080, tags={"a": "b"}),
        model.AccountSetting(name="containerInsights", principal_arn=arn("root"), value="enabled"),
        model.Gate(open=True, pace=model.Pace(settle_seconds=5.0)),
        an_instance(custom=("bare",), health={"overallStatus": "OK"}, deregistered_at=3.0),
        a_task(
            containers=(container,),
            demand=model.Demand(cpu=1, tcp_ports=(80, 81), attributes=(("a", None), ("b", "c"))),
            overrides={"containerOverrides": [{"name": "app", "command": ["a", "b"]}]},
            attachments=(Attachment(id="x", type=INTERFACE, details={"n": "v"}, facts={"m": "w"}, since=1.0),),
            network=TaskNetwork(subnets={"us-east-1a": "subnet-1"}, security_groups=("sg-1",)),
            placement=model_story.Placement(considered=3, refused=(refused,), chosen="i3"),
            story=(entry,),
            stopped_reason="Essential container in task exited — “app”",
            service=model.TaskService(
                name="web",
                deployment="1",
                load_balancers=(
                    model.LoadBalancer(load_balancer_name="classic", container_name="app", container_port=80),
                ),
                protected_until=9.0,
            ),
        ),
        model.RunToken(token="t", fingerprint="f", task_ids=("a", "b"), created_at=1.0),
        *records_of_services(),
        *records_of_capacity(),
        an_activation(revoked_at=9.0),
        an_external_instance(revoked_at=9.0),
    ]
