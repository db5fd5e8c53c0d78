"""What runs beside a cluster: databases, Application Auto Scaling, schedules, access points, warm pools, dashboards."""

from __future__ import annotations

from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging

_DATABASE = (
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "BackupRetentionPeriod",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBParameterGroupName",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "EngineVersion",
    "Iops",
    "MasterUserPassword",
    "MaxAllocatedStorage",
    "MultiAZ",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
    "StorageType",
    "VPCSecurityGroups",
)
_DATABASE_ARN = "join(':', ['arn:aws:rds', region, account, 'db', id])"
_SUBNETS_ARN = "$join(':', ['arn:aws:rds', region, account, 'subgrp', id])"
_TARGET = ("ResourceId", "ScalableDimension", "ServiceNamespace")
_OF_TARGET = {
    "ResourceId": "$ResourceId || part(ScalingTargetId, '|', `0`)",
    "ScalableDimension": "$ScalableDimension || part(ScalingTargetId, '|', `1`)",
    "ServiceNamespace": "$ServiceNamespace || part(ScalingTargetId, '|', `2`)",
}
_SCALING = {
    "PolicyName": "$PolicyName",
    "PolicyType": "$PolicyType",
    "StepScalingPolicyConfiguration": "$StepScalingPolicyConfiguration",
    "TargetTrackingScalingPolicyConfiguration": "$TargetTrackingScalingPolicyConfiguration",
    **_OF_TARGET,
}
_GONE = frozenset({"ObjectNotFoundException", "ResourceNotFoundException"})
#: With moto's word for a target or policy that is not there.
_NO_SCALING = _GONE | {"ValidationException"}

#: What topics have whom nobody gave a policy: their own account may do anything with them.
_USUAL_OF_TOPICS = {
    "Version": "2008-10-17",
    "Id": "__default_policy_ID",
    "Statement": [
        {
            "Sid": "__default_statement_ID",
            "Effect": "Allow",
            "Principal": {"AWS": "*"},
            "Action": [
                f"SNS:{name}"
                for name in (
                    "GetTopicAttributes",
                    "SetTopicAttributes",
                    "AddPermission",
                    "RemovePermission",
                    "DeleteTopic",
                    "Subscribe",
                    "ListSubscriptionsByTopic",
                    "Publish",
                )
            ],
            "Resource": "$item",
            "Condition": {"StringEquals": {"AWS:SourceOwner": "$account"}},
        }
    ],
}

KINDS = (
    Kind(
        type="AWS::RDS::DBInstance",
        service="rds",
        create=Op(name="CreateDBInstance", takes=None),
        id="DBInstanceIdentifier",
        named=("DBInstanceIdentifier", 63),
        name_is_lower=True,
        renamed={"VPCSecurityGroups": "VpcSecurityGroupIds"},
        adopt=Op(name="DescribeDBInstances", members={"DBInstanceIdentifier": "$name"}),
        read=Op(name="DescribeDBInstances", members={"DBInstanceIdentifier": "$id"}),
        found="answer.DBInstances[0]",
        ready="read.DBInstanceStatus == 'available'",
        broken="contains(['failed', 'storage-full'], read.DBInstanceStatus) && read.DBInstanceStatus || `null`",
        attributes={
            "DBInstanceArn": "read.DBInstanceArn",
            "DbiResourceId": "read.DbiResourceId",
            "Endpoint.Address": "read.Endpoint.Address",
            "Endpoint.Port": "read.Endpoint.Port && to_string(read.Endpoint.Port)",
            "MasterUserSecret.SecretArn": "read.MasterUserSecret.SecretArn",
        },
        settings=(
            Setting(
                on=_DATABASE,
                op=Op(
                    name="ModifyDBInstance",
                    members={"DBInstanceIdentifier": "$id", "ApplyImmediately": True},
                    takes=_DATABASE,
                ),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="AddTagsToResource", members={"ResourceName": f"${_DATABASE_ARN}", "Tags": "$fresh"}),
            unset=Op(name="RemoveTagsFromResource", members={"ResourceName": f"${_DATABASE_ARN}", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteDBInstance", members={"DBInstanceIdentifier": "$id", "SkipFinalSnapshot": True}),
        snapshots=(
            Op(
                name="DeleteDBInstance",
                members={
                    "DBInstanceIdentifier": "$id",
                    "FinalDBSnapshotIdentifier": "$join('-', ['snapshot', id, digest(token)])",
                },
            ),
        ),
        gone=frozenset({"DBInstanceNotFound", "DBInstanceNotFoundFault"}),
        busy=frozenset({"InvalidDBInstanceState"}),
        waits_until_gone=True,
    ),
    Kind(
        type="AWS::RDS::DBSubnetGroup",
        service="rds",
        create=Op(name="CreateDBSubnetGroup", takes=None),
        id="DBSubnetGroupName",
        named=("DBSubnetGroupName", 255),
        name_is_lower=True,
        adopt=Op(name="DescribeDBSubnetGroups", members={"DBSubnetGroupName": "$name"}),
        settings=(
            Setting(
                on=("DBSubnetGroupDescription", "SubnetIds"),
                op=Op(
                    name="ModifyDBSubnetGroup",
                    members={"DBSubnetGroupName": "$id"},
                    takes=("DBSubnetGroupDescription", "SubnetIds"),
                ),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="AddTagsToResource", members={"ResourceName": _SUBNETS_ARN, "Tags": "$fresh"}),
            unset=Op(name="RemoveTagsFromResource", members={"ResourceName": _SUBNETS_ARN, "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteDBSubnetGroup", members={"DBSubnetGroupName": "$id"}),
        gone=frozenset({"DBSubnetGroupNotFoundFault", "DBSubnetGroupNotFound"}),
        busy=frozenset({"InvalidDBSubnetGroupStateFault", "InvalidDBSubnetGroupState"}),
    ),
    Kind(
        type="AWS::ApplicationAutoScaling::ScalableTarget",
        service="application-autoscaling",
        create=Op(
            name="RegisterScalableTarget",
            takes=("MaxCapacity", "MinCapacity", "RoleARN", "SuspendedState", *_TARGET),
        ),
        id="join('|', [ResourceId, ScalableDimension, ServiceNamespace])",
        attributes={"Id": "id"},
        settings=(
            Setting(
                on=("MaxCapacity", "MinCapacity", "RoleARN", "SuspendedState"),
                op=Op(
                    name="RegisterScalableTarget",
                    takes=("MaxCapacity", "MinCapacity", "RoleARN", "SuspendedState", *_TARGET),
                ),
                at_create=False,
            ),
        ),
        items=(
            Items(
                property="ScheduledActions",
                add=Op(
                    name="PutScheduledAction",
                    members={
                        name: f"$item.{name}"
                        for name in (
                            "ScheduledActionName",
                            "Schedule",
                            "Timezone",
                            "StartTime",
                            "EndTime",
                            "ScalableTargetAction",
                        )
                    },
                    takes=_TARGET,
                ),
                remove=Op(
                    name="DeleteScheduledAction",
                    members={"ScheduledActionName": "$item.ScheduledActionName"},
                    takes=_TARGET,
                ),
                known=_GONE,
                at_delete=True,
            ),
        ),
        delete=Op(name="DeregisterScalableTarget", takes=_TARGET),
        gone=_NO_SCALING,
    ),
    Kind(
        type="AWS::ApplicationAutoScaling::ScalingPolicy",
        service="application-autoscaling",
        create=Op(name="PutScalingPolicy", members=_SCALING),
        id="answer.PolicyARN || answer.adopted",
        adopt=Op(
            name="DescribeScalingPolicies",
            members={
                "PolicyNames": ["$PolicyName"],
                "ResourceId": _OF_TARGET["ResourceId"],
                "ServiceNamespace": _OF_TARGET["ServiceNamespace"],
            },
        ),
        adopted="having(answer.ScalingPolicies, 'PolicyName', PolicyName) | [0].PolicyARN",
        attributes={"Arn": "id"},
        settings=(
            Setting(
                on=("PolicyType", "StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration"),
                op=Op(name="PutScalingPolicy", members=_SCALING),
                at_create=False,
            ),
        ),
        delete=Op(name="DeleteScalingPolicy", members={"PolicyName": "$PolicyName", **_OF_TARGET}),
        gone=_NO_SCALING,
    ),
    Kind(
        type="AWS::Scheduler::Schedule",
        service="scheduler",
        create=Op(name="CreateSchedule", members={"ClientToken": "$token"}, takes=None),
        id="Name",
        named=("Name", 64),
        adopt=Op(name="GetSchedule", members={"Name": "$name"}, takes=("GroupName",)),
        attributes={"Arn": "read.Arn"},
        read=Op(name="GetSchedule", members={"Name": "$id"}, takes=("GroupName",)),
        settings=(
            Setting(
                on=(
                    "Description",
                    "EndDate",
                    "FlexibleTimeWindow",
                    "KmsKeyArn",
                    "ScheduleExpression",
                    "ScheduleExpressionTimezone",
                    "StartDate",
                    "State",
                    "Target",
                ),
                op=Op(name="UpdateSchedule", takes=None),
                at_create=False,
            ),
        ),
        delete=Op(name="DeleteSchedule", members={"Name": "$id"}, takes=("GroupName",)),
        gone=_GONE,
    ),
    Kind(
        type="AWS::Scheduler::ScheduleGroup",
        service="scheduler",
        create=Op(name="CreateScheduleGroup", members={"ClientToken": "$token"}, takes=None),
        id="Name",
        named=("Name", 64),
        adopt=Op(name="GetScheduleGroup", members={"Name": "$name"}),
        attributes={"Arn": "read.Arn", "State": "read.State"},
        read=Op(name="GetScheduleGroup", members={"Name": "$id"}),
        delete=Op(name="DeleteScheduleGroup", members={"Name": "$id"}),
        gone=_GONE,
    ),
    Kind(
        type="AWS::EFS::AccessPoint",
        service="efs",
        create=Op(name="CreateAccessPoint", members={"ClientToken": "$token"}, takes=None),
        id="answer.AccessPointId || answer.adopted",
        adopt=Op(name="DescribeAccessPoints", takes=("FileSystemId",)),
        adopted="having(answer.AccessPoints, 'ClientToken', token) | [0].AccessPointId",
        read=Op(name="DescribeAccessPoints", members={"AccessPointId": "$id"}),
        found="answer.AccessPoints[0]",
        attributes={"AccessPointId": "id", "Arn": "read.AccessPointArn"},
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="TagResource", members={"ResourceId": "$id", "Tags": "$fresh"}),
            unset=Op(name="UntagResource", members={"ResourceId": "$id", "TagKeys": "$gone"}),
            property="AccessPointTags",
        ),
        delete=Op(name="DeleteAccessPoint", members={"AccessPointId": "$id"}),
        gone=frozenset({"AccessPointNotFound"}),
    ),
    Kind(
        type="AWS::AutoScaling::WarmPool",
        service="autoscaling",
        create=Op(name="PutWarmPool", takes=None),
        id="AutoScalingGroupName",
        settings=(
            Setting(
                on=("InstanceReusePolicy", "MaxGroupPreparedCapacity", "MinSize", "PoolState"),
                op=Op(name="PutWarmPool", takes=None),
                at_create=False,
            ),
        ),
        delete=Op(name="DeleteWarmPool", members={"ForceDelete": True}, takes=("AutoScalingGroupName",)),
        gone=frozenset({"ValidationError"}),
    ),
    Kind(
        type="AWS::CloudWatch::Dashboard",
        service="cloudwatch",
        create=Op(name="PutDashboard", takes=None),
        id="DashboardName",
        named=("DashboardName", 255),
        settings=(Setting(on=("DashboardBody",), op=Op(name="PutDashboard", takes=None), at_create=False),),
        delete=Op(name="DeleteDashboards", members={"DashboardNames": ["$id"]}),
        gone=frozenset({"ResourceNotFound", "DashboardNotFoundError"}),
    ),
    Kind(
        type="AWS::S3::BucketPolicy",
        service="s3",
        create=Op(name="PutBucketPolicy", members={"Policy": "$PolicyDocument"}, takes=("Bucket",)),
        id="Bucket",
        settings=(
            Setting(
                on=("PolicyDocument",),
                op=Op(name="PutBucketPolicy", members={"Policy": "$PolicyDocument"}, takes=("Bucket",)),
                at_create=False,
            ),
        ),
        delete=Op(name="DeleteBucketPolicy", takes=("Bucket",)),
        gone=frozenset({"NoSuchBucket", "NoSuchBucketPolicy"}),
    ),
    Kind(
        type="AWS::SQS::QueuePolicy",
        service="sqs",
        create=None,
        id="name",
        attributes={"Id": "id"},
        items=(
            Items(
                property="Queues",
                add=Op(
                    name="SetQueueAttributes",
                    members={"QueueUrl": "$item", "Attributes": {"Policy": "$PolicyDocument"}},
                ),
                remove=Op(name="SetQueueAttributes", members={"QueueUrl": "$item", "Attributes": {"Policy": ""}}),
                known=frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}),
                at_delete=True,
                also=("PolicyDocument",),
            ),
        ),
    ),
    Kind(
        type="AWS::SNS::TopicPolicy",
        service="sns",
        create=None,
        id="name",
        attributes={"Id": "id"},
        items=(
            Items(
                property="Topics",
                add=Op(
                    name="SetTopicAttributes",
                    members={
                        "TopicArn": "$item",
                        "AttributeName": "Policy",
                        "AttributeValue": "$PolicyDocument",
                    },
                ),
                remove=Op(
                    name="SetTopicAttributes",
                    members={"TopicArn": "$item", "AttributeName": "Policy", "AttributeValue": _USUAL_OF_TOPICS},
                ),
                known=frozenset({"NotFound", "NotFoundException"}),
                at_delete=True,
                also=("PolicyDocument",),
            ),
        ),
    ),
)
