"""What clusters lean on besides their network: addresses, endpoints, repositories, file systems, keys, alarms."""

from __future__ import annotations

from awsorch.local.stacks.kinds.ec2 import made_by_token, tagging
from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging

_ARN_TAGGING = Tagging(
    at_create={"Tags": "$tags"},
    set=Op(name="TagResource", members={"ResourceARN": "$attributes.Arn", "Tags": "$fresh"}),
    unset=Op(name="UntagResource", members={"ResourceARN": "$attributes.Arn", "TagKeys": "$gone"}),
)
_ENDPOINT = ("PolicyDocument", "PrivateDnsEnabled")
_REPOSITORY = {"repositoryName": "$id"}
_ECR_ARN = "join('', ['arn:aws:ecr:', region, ':', account, ':repository/', id])"

_RULE = ("Name", "Description", "EventBusName", "EventPattern", "RoleArn", "ScheduleExpression", "State")

KINDS = (
    Kind(
        type="AWS::EC2::EIP",
        service="ec2",
        create=Op(name="AllocateAddress", takes=None),
        id="answer.PublicIp || answer.adopted",
        adopt=made_by_token("DescribeAddresses"),
        adopted="answer.Addresses[0].PublicIp",
        read=Op(name="DescribeAddresses", members={"PublicIps": ["$id"]}),
        found="answer.Addresses[0]",
        attributes={"AllocationId": "read.AllocationId", "PublicIp": "id"},
        tagging=tagging("elastic-ip", "$attributes.AllocationId"),
        delete=Op(name="ReleaseAddress", members={"AllocationId": "$attributes.AllocationId"}),
        gone=frozenset({"InvalidAddress.NotFound", "InvalidAllocationID.NotFound"}),
        busy=frozenset({"InvalidIPAddress.InUse", "AuthFailure"}),
    ),
    Kind(
        type="AWS::EC2::NatGateway",
        service="ec2",
        create=Op(name="CreateNatGateway", takes=None),
        id="answer.NatGateway.NatGatewayId || answer.adopted",
        adopt=made_by_token("DescribeNatGateways", "Filter"),
        adopted="answer.NatGateways[?State != 'deleted'] | [0].NatGatewayId",
        read=Op(name="DescribeNatGateways", members={"NatGatewayIds": ["$id"]}),
        found="answer.NatGateways[?State != 'deleted'] | [0]",
        ready="read.State == 'available'",
        broken="read.State == 'failed' && (read.FailureMessage || 'The NAT gateway failed.') || `null`",
        attributes={"NatGatewayId": "id"},
        tagging=tagging("natgateway"),
        delete=Op(name="DeleteNatGateway", members={"NatGatewayId": "$id"}),
        gone=frozenset({"NatGatewayNotFound"}),
        waits_until_gone=True,
    ),
    Kind(
        type="AWS::EC2::VPCEndpoint",
        service="ec2",
        create=Op(name="CreateVpcEndpoint", takes=None),
        id="answer.VpcEndpoint.VpcEndpointId || answer.adopted",
        adopt=made_by_token("DescribeVpcEndpoints"),
        adopted="answer.VpcEndpoints[0].VpcEndpointId",
        read=Op(name="DescribeVpcEndpoints", members={"VpcEndpointIds": ["$id"]}),
        found="answer.VpcEndpoints[0]",
        ready="read.State == 'available'",
        attributes={"Id": "id"},
        settings=(
            Setting(
                on=_ENDPOINT,
                op=Op(name="ModifyVpcEndpoint", members={"VpcEndpointId": "$id"}, takes=_ENDPOINT),
                at_create=False,
            ),
        ),
        tagging=tagging("vpc-endpoint"),
        delete=Op(name="DeleteVpcEndpoints", members={"VpcEndpointIds": ["$id"]}),
        gone=frozenset({"InvalidRoute.NotFound", "InvalidVpcEndpointId.NotFound"}),
    ),
    Kind(
        type="AWS::ECR::Repository",
        service="ecr",
        create=Op(name="CreateRepository", takes=None),
        id="RepositoryName",
        named=("RepositoryName", 256),
        name_is_lower=True,
        adopt=Op(name="DescribeRepositories", members={"repositoryNames": ["$name"]}),
        adopted="answer.repositories[0].repositoryName",
        read=Op(name="DescribeRepositories", members={"repositoryNames": ["$id"]}),
        found="answer.repositories[0]",
        attributes={"Arn": "read.repositoryArn", "RepositoryUri": "read.repositoryUri"},
        settings=(
            Setting(
                on=("LifecyclePolicy",),
                op=Op(
                    name="PutLifecyclePolicy",
                    members={**_REPOSITORY, "lifecyclePolicyText": "$LifecyclePolicy.LifecyclePolicyText"},
                ),
                unset=Op(name="DeleteLifecyclePolicy", members=_REPOSITORY),
            ),
            Setting(
                on=("RepositoryPolicyText",),
                op=Op(name="SetRepositoryPolicy", members={**_REPOSITORY, "policyText": "$RepositoryPolicyText"}),
                unset=Op(name="DeleteRepositoryPolicy", members=_REPOSITORY),
            ),
            Setting(
                on=("ImageTagMutability",),
                op=Op(name="PutImageTagMutability", members=_REPOSITORY, takes=("ImageTagMutability",)),
                at_create=False,
            ),
            Setting(
                on=("ImageScanningConfiguration",),
                op=Op(name="PutImageScanningConfiguration", members=_REPOSITORY, takes=("ImageScanningConfiguration",)),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"tags": "$tags"},
            set=Op(name="TagResource", members={"resourceArn": f"${_ECR_ARN}", "tags": "$fresh"}),
            unset=Op(name="UntagResource", members={"resourceArn": f"${_ECR_ARN}", "tagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteRepository", members={**_REPOSITORY, "force": "$EmptyOnDelete"}),
        gone=frozenset({"RepositoryNotFoundException"}),
    ),
    Kind(
        type="AWS::KMS::Key",
        service="kms",
        create=Op(name="CreateKey", members={"Policy": "$KeyPolicy"}, takes=("Description", "KeySpec", "KeyUsage")),
        id="answer.KeyMetadata.KeyId",
        read=Op(name="DescribeKey", members={"KeyId": "$id"}),
        found="answer.KeyMetadata",
        attributes={"Arn": "read.Arn", "KeyId": "id"},
        settings=(
            Setting(
                on=("KeyPolicy",),
                op=Op(name="PutKeyPolicy", members={"KeyId": "$id", "PolicyName": "default", "Policy": "$KeyPolicy"}),
                at_create=False,
            ),
            Setting(
                on=("Description",),
                op=Op(name="UpdateKeyDescription", members={"KeyId": "$id"}, takes=("Description",)),
                at_create=False,
            ),
            Setting(
                on=("EnableKeyRotation",),
                op=Op(
                    name="EnableKeyRotation",
                    members={"KeyId": "$to_string(EnableKeyRotation) == 'true' && id || `null`"},
                ),
                at_update=False,
            ),
        ),
        delete=Op(name="ScheduleKeyDeletion", members={"KeyId": "$id", "PendingWindowInDays": 7}),
        gone=frozenset({"NotFoundException", "KMSInvalidStateException"}),
    ),
    Kind(
        type="AWS::KMS::Alias",
        service="kms",
        create=Op(name="CreateAlias", takes=None),
        id="AliasName",
        exists=frozenset({"AlreadyExistsException"}),
        settings=(
            Setting(
                on=("TargetKeyId",), op=Op(name="UpdateAlias", takes=("AliasName", "TargetKeyId")), at_create=False
            ),
        ),
        delete=Op(name="DeleteAlias", members={"AliasName": "$id"}),
        gone=frozenset({"NotFoundException"}),
    ),
    Kind(
        type="AWS::Events::Rule",
        service="events",
        create=Op(name="PutRule", takes=_RULE),
        id="Name",
        named=("Name", 64),
        read=Op(name="DescribeRule", members={"Name": "$id"}, takes=("EventBusName",)),
        attributes={"Arn": "read.Arn"},
        settings=(
            Setting(
                on=("Description", "EventPattern", "RoleArn", "ScheduleExpression", "State"),
                op=Op(name="PutRule", takes=_RULE),
                at_create=False,
            ),
        ),
        items=(
            Items(
                property="Targets",
                add=Op(name="PutTargets", members={"Rule": "$id", "Targets": ["$item"]}, takes=("EventBusName",)),
                remove=Op(name="RemoveTargets", members={"Rule": "$id", "Ids": ["$item.Id"]}, takes=("EventBusName",)),
                known=frozenset({"ResourceNotFoundException"}),
                at_delete=True,
            ),
        ),
        delete=Op(name="DeleteRule", members={"Name": "$id", "Force": True}, takes=("EventBusName",)),
        gone=frozenset({"ResourceNotFoundException"}),
    ),
    Kind(
        type="AWS::CloudWatch::Alarm",
        service="cloudwatch",
        create=Op(name="PutMetricAlarm", takes=None),
        id="AlarmName",
        named=("AlarmName", 255),
        read=Op(name="DescribeAlarms", members={"AlarmNames": ["$id"]}),
        found="answer.MetricAlarms[0]",
        attributes={"Arn": "read.AlarmArn"},
        settings=(
            Setting(
                on=(
                    "ActionsEnabled",
                    "AlarmActions",
                    "AlarmDescription",
                    "ComparisonOperator",
                    "DatapointsToAlarm",
                    "Dimensions",
                    "EvaluationPeriods",
                    "ExtendedStatistic",
                    "InsufficientDataActions",
                    "MetricName",
                    "Metrics",
                    "Namespace",
                    "OKActions",
                    "Period",
                    "Statistic",
                    "Threshold",
                    "TreatMissingData",
                    "Unit",
                ),
                op=Op(name="PutMetricAlarm", takes=None),
                at_create=False,
            ),
        ),
        tagging=_ARN_TAGGING,
        delete=Op(name="DeleteAlarms", members={"AlarmNames": ["$id"]}),
        gone=frozenset({"ResourceNotFound"}),
    ),
    Kind(
        type="AWS::EFS::FileSystem",
        service="efs",
        create=Op(
            name="CreateFileSystem",
            members={"CreationToken": "$token"},
            takes=("Encrypted", "KmsKeyId", "PerformanceMode", "ProvisionedThroughputInMibps", "ThroughputMode"),
        ),
        id="answer.FileSystemId || answer.adopted",
        adopt=Op(name="DescribeFileSystems", members={"CreationToken": "$token"}),
        adopted="answer.FileSystems[0].FileSystemId",
        read=Op(name="DescribeFileSystems", members={"FileSystemId": "$id"}),
        found="answer.FileSystems[0]",
        ready="read.LifeCycleState == 'available'",
        attributes={"Arn": "read.FileSystemArn", "FileSystemId": "id"},
        tagging=Tagging(
            property="FileSystemTags",
            at_create={"Tags": "$tags"},
            set=Op(name="TagResource", members={"ResourceId": "$id", "Tags": "$fresh"}),
            unset=Op(name="UntagResource", members={"ResourceId": "$id", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteFileSystem", members={"FileSystemId": "$id"}),
        gone=frozenset({"FileSystemNotFound"}),
        busy=frozenset({"FileSystemInUse"}),
    ),
    Kind(
        type="AWS::EFS::MountTarget",
        service="efs",
        create=Op(name="CreateMountTarget", takes=None),
        id="answer.MountTargetId || answer.adopted",
        adopt=Op(name="DescribeMountTargets", takes=("FileSystemId",)),
        adopted="having(answer.MountTargets, 'SubnetId', SubnetId) | [0].MountTargetId",
        read=Op(name="DescribeMountTargets", members={"MountTargetId": "$id"}),
        found="answer.MountTargets[0]",
        ready="read.LifeCycleState == 'available'",
        attributes={"Id": "id", "IpAddress": "read.IpAddress"},
        delete=Op(name="DeleteMountTarget", members={"MountTargetId": "$id"}),
        gone=frozenset({"MountTargetNotFound"}),
    ),
)
