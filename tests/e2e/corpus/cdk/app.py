"""The two patterns of aws-cdk-lib that this folder has the output of."""

from aws_cdk import App, DefaultStackSynthesizer, Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_ecs_patterns as patterns

IMAGE = "awsorch/busybox:latest"
PAGE = "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www"

app = App()


def cluster(stack: Stack) -> ecs.Cluster:
    vpc = ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=1)
    made = ecs.Cluster(stack, "Cluster", vpc=vpc)
    group = autoscaling.AutoScalingGroup(
        stack,
        "Group",
        vpc=vpc,
        instance_type=ec2.InstanceType("t3.medium"),
        machine_image=ecs.EcsOptimizedImage.amazon_linux2(),
        min_capacity=1,
        max_capacity=2,
    )
    made.add_asg_capacity_provider(
        ecs.AsgCapacityProvider(
            stack, "Provider", auto_scaling_group=group, enable_managed_termination_protection=False
        )
    )
    return made


web = Stack(app, "Web", synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False))
patterns.ApplicationLoadBalancedEc2Service(
    web,
    "Service",
    cluster=cluster(web),
    cpu=64,
    memory_limit_mib=64,
    desired_count=2,
    min_healthy_percent=50,
    circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
    task_image_options=patterns.ApplicationLoadBalancedTaskImageOptions(
        image=ecs.ContainerImage.from_registry(IMAGE), container_port=8080, command=["sh", "-c", PAGE]
    ),
)

worker = Stack(app, "Worker", synthesizer=DefaultStackSynthesizer(generate_bootstrap_version_rule=False))
patterns.QueueProcessingEc2Service(
    worker,
    "Service",
    cluster=cluster(worker),
    cpu=64,
    memory_limit_mib=64,
    min_healthy_percent=50,
    image=ecs.ContainerImage.from_registry(IMAGE),
    command=["sleep", "3600"],
)

app.synth()
