"""Launch templates and Auto Scaling groups."""

from __future__ import annotations

from awsorch.local.stacks.kinds.ec2 import TOKEN_TAG
from awsorch.local.stacks.kinds.kind import Kind, Op, Setting, Tagging

_GROUP = (
    "AvailabilityZones",
    "CapacityRebalance",
    "Context",
    "Cooldown",
    "DefaultInstanceWarmup",
    "DesiredCapacity",
    "HealthCheckGracePeriod",
    "HealthCheckType",
    "LaunchConfigurationName",
    "LaunchTemplate",
    "MaxInstanceLifetime",
    "MaxSize",
    "MinSize",
    "MixedInstancesPolicy",
    "NewInstancesProtectedFromScaleIn",
    "PlacementGroup",
    "ServiceLinkedRoleARN",
    "TerminationPolicies",
)
_TAG = (
    "{Key: Key, Value: Value, ResourceId: ResourceId, ResourceType: 'auto-scaling-group', "
    "PropagateAtLaunch: not_null(PropagateAtLaunch, `true`)}"
)
_NO_TEMPLATE = frozenset(
    {
        "InvalidLaunchTemplateId.NotFound",
        "InvalidLaunchTemplateId.NotFoundException",
        "InvalidLaunchTemplateName.NotFoundException",
    }
)
_HOOK = (
    "DefaultResult",
    "HeartbeatTimeout",
    "LifecycleTransition",
    "NotificationMetadata",
    "NotificationTargetARN",
    "RoleARN",
)
_SCALING = (
    "AdjustmentType",
    "Cooldown",
    "EstimatedInstanceWarmup",
    "MetricAggregationType",
    "MinAdjustmentMagnitude",
    "PredictiveScalingConfiguration",
    "ScalingAdjustment",
    "StepAdjustments",
    "TargetTrackingConfiguration",
)
_SUBNETS = {"VPCZoneIdentifier": "$VPCZoneIdentifier && join(',', VPCZoneIdentifier)"}

KINDS = (
    Kind(
        type="AWS::EC2::LaunchTemplate",
        service="ec2",
        create=Op(
            name="CreateLaunchTemplate",
            members={
                "LaunchTemplateName": "$name",
                "TagSpecifications": [
                    {
                        "ResourceType": "launch-template",
                        "Tags": f"$[(TagSpecifications[?ResourceType=='launch-template'].Tags | [0]) || `[]`, "
                        f"tags, [{{Key: '{TOKEN_TAG}', Value: token}}]][]",
                    }
                ],
            },
            takes=("LaunchTemplateData", "VersionDescription"),
        ),
        id="answer.LaunchTemplate.LaunchTemplateId || answer.adopted",
        named=("LaunchTemplateName", 128),
        adopt=Op(name="DescribeLaunchTemplates", members={"LaunchTemplateNames": ["$name"]}),
        adopted="answer.LaunchTemplates[0].LaunchTemplateId",
        read=Op(name="DescribeLaunchTemplates", members={"LaunchTemplateIds": ["$id"]}),
        found="answer.LaunchTemplates[0]",
        attributes={
            "DefaultVersionNumber": "to_string(read.DefaultVersionNumber)",
            "LatestVersionNumber": "to_string(read.LatestVersionNumber)",
            "LaunchTemplateId": "id",
        },
        settings=(
            Setting(
                on=("LaunchTemplateData", "VersionDescription"),
                op=Op(
                    name="CreateLaunchTemplateVersion",
                    members={"LaunchTemplateId": "$id"},
                    takes=("LaunchTemplateData", "VersionDescription"),
                ),
                at_create=False,
            ),
        ),
        delete=Op(name="DeleteLaunchTemplate", members={"LaunchTemplateId": "$id"}),
        gone=_NO_TEMPLATE,
    ),
    Kind(
        type="AWS::AutoScaling::AutoScalingGroup",
        service="autoscaling",
        create=Op(
            name="CreateAutoScalingGroup",
            members={"AutoScalingGroupName": "$name", **_SUBNETS},
            takes=(*_GROUP, "LoadBalancerNames", "TargetGroupARNs"),
        ),
        id="name",
        named=("AutoScalingGroupName", 255),
        renamed={"Cooldown": "DefaultCooldown"},
        adopt=Op(name="DescribeAutoScalingGroups", members={"AutoScalingGroupNames": ["$name"]}),
        adopted="answer.AutoScalingGroups[0].AutoScalingGroupName",
        read=Op(name="DescribeAutoScalingGroups", members={"AutoScalingGroupNames": ["$id"]}),
        found="answer.AutoScalingGroups[0]",
        attributes={"AutoScalingGroupARN": "read.AutoScalingGroupARN"},
        settings=(
            Setting(
                on=(*_GROUP, "VPCZoneIdentifier"),
                op=Op(
                    name="UpdateAutoScalingGroup",
                    members={"AutoScalingGroupName": "$id", **_SUBNETS},
                    takes=_GROUP,
                ),
                at_create=False,
            ),
            Setting(
                on=("MetricsCollection",),
                op=Op(
                    name="EnableMetricsCollection",
                    members={
                        "AutoScalingGroupName": "$id",
                        "Granularity": "$MetricsCollection[0].Granularity",
                        "Metrics": "$MetricsCollection[0].Metrics",
                    },
                ),
                unset=Op(name="DisableMetricsCollection", members={"AutoScalingGroupName": "$id"}),
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": f"$tagged[].{_TAG}"},
            set=Op(name="CreateOrUpdateTags", members={"Tags": f"$retagged[].{_TAG}"}),
            unset=Op(name="DeleteTags", members={"Tags": f"$untagged[].{_TAG}"}),
        ),
        delete=Op(name="DeleteAutoScalingGroup", members={"AutoScalingGroupName": "$id", "ForceDelete": True}),
        gone=frozenset({"ValidationError"}),
        busy=frozenset({"ResourceInUse", "ScalingActivityInProgress"}),
        waits_until_gone=True,
    ),
    Kind(
        type="AWS::AutoScaling::LifecycleHook",
        service="autoscaling",
        create=Op(name="PutLifecycleHook", takes=None),
        id="LifecycleHookName",
        named=("LifecycleHookName", 255),
        settings=(Setting(on=_HOOK, op=Op(name="PutLifecycleHook", takes=None), at_create=False),),
        delete=Op(name="DeleteLifecycleHook", takes=("AutoScalingGroupName", "LifecycleHookName")),
        gone=frozenset({"ValidationError"}),
    ),
    Kind(
        type="AWS::AutoScaling::ScalingPolicy",
        service="autoscaling",
        create=Op(name="PutScalingPolicy", members={"PolicyName": "$name"}, takes=None),
        id="answer.PolicyARN",
        read=Op(name="DescribePolicies", members={"PolicyNames": ["$name"]}, takes=("AutoScalingGroupName",)),
        found="answer.ScalingPolicies[0]",
        attributes={"Arn": "id", "PolicyName": "read.PolicyName"},
        settings=(
            Setting(
                on=_SCALING,
                op=Op(name="PutScalingPolicy", members={"PolicyName": "$name"}, takes=None),
                at_create=False,
            ),
        ),
        delete=Op(name="DeletePolicy", members={"PolicyName": "$name"}, takes=("AutoScalingGroupName",)),
        gone=frozenset({"ValidationError"}),
    ),
    Kind(
        type="AWS::AutoScaling::ScheduledAction",
        service="autoscaling",
        create=Op(name="PutScheduledUpdateGroupAction", members={"ScheduledActionName": "$name"}, takes=None),
        id="name",
        attributes={"ScheduledActionName": "id"},
        settings=(
            Setting(
                on=("DesiredCapacity", "EndTime", "MaxSize", "MinSize", "Recurrence", "StartTime", "TimeZone"),
                op=Op(name="PutScheduledUpdateGroupAction", members={"ScheduledActionName": "$name"}, takes=None),
                at_create=False,
            ),
        ),
        delete=Op(
            name="DeleteScheduledAction", members={"ScheduledActionName": "$id"}, takes=("AutoScalingGroupName",)
        ),
        gone=frozenset({"ValidationError"}),
    ),
)
