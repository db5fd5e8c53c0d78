"""EC2 instances, their disks, and the launch configurations of old."""

from __future__ import annotations

from awsorch.local.stacks.kinds.ec2 import made_by_token, tagging
from awsorch.local.stacks.kinds.kind import Kind, Op, Setting

_INSTANCE = (
    "BlockDeviceMappings",
    "CpuOptions",
    "CreditSpecification",
    "DisableApiTermination",
    "EbsOptimized",
    "EnclaveOptions",
    "HibernationOptions",
    "ImageId",
    "InstanceInitiatedShutdownBehavior",
    "InstanceType",
    "Ipv6AddressCount",
    "KernelId",
    "KeyName",
    "LaunchTemplate",
    "MetadataOptions",
    "NetworkInterfaces",
    "PrivateDnsNameOptions",
    "PrivateIpAddress",
    "RamdiskId",
    "SecurityGroupIds",
    "SecurityGroups",
    "SubnetId",
)
_TERMINATED = "contains(['shutting-down', 'terminated'], State.Name)"
_VOLUME = ("Iops", "Size", "Throughput", "VolumeType")
_NO_INSTANCE = frozenset({"InvalidInstanceID.NotFound"})
_NO_VOLUME = frozenset({"InvalidVolume.NotFound"})

KINDS = (
    Kind(
        type="AWS::EC2::Instance",
        service="ec2",
        create=Op(
            name="RunInstances",
            members={
                "MinCount": 1,
                "MaxCount": 1,
                "ClientToken": "$token",
                "UserData": "$UserData && from_base64(UserData)",
                "IamInstanceProfile": {"Name": "$IamInstanceProfile"},
                "Monitoring": {"Enabled": "$Monitoring"},
                "Placement": {"AvailabilityZone": "$AvailabilityZone", "Tenancy": "$Tenancy"},
            },
            takes=_INSTANCE,
        ),
        id="answer.Instances[0].InstanceId || answer.adopted",
        adopt=made_by_token("DescribeInstances"),
        adopted=f"answer.Reservations[].Instances[] | [?!{_TERMINATED}] | [0].InstanceId",
        read=Op(name="DescribeInstances", members={"InstanceIds": ["$id"]}),
        found="answer.Reservations[].Instances[] | [?State.Name != 'terminated'] | [0]",
        ready="read.State.Name == 'running'",
        broken=f"read | {_TERMINATED} && 'The instance was terminated.' || `null`",
        attributes={
            "AvailabilityZone": "read.Placement.AvailabilityZone",
            "InstanceId": "id",
            "PrivateDnsName": "read.PrivateDnsName",
            "PrivateIp": "read.PrivateIpAddress",
            "PublicDnsName": "read.PublicDnsName",
            "PublicIp": "read.PublicIpAddress",
            "VpcId": "read.VpcId",
        },
        settings=(
            Setting(
                on=("SourceDestCheck",),
                op=Op(
                    name="ModifyInstanceAttribute",
                    members={"InstanceId": "$id", "SourceDestCheck": {"Value": "$SourceDestCheck"}},
                ),
            ),
            Setting(
                on=("SecurityGroupIds",),
                op=Op(name="ModifyInstanceAttribute", members={"InstanceId": "$id", "Groups": "$SecurityGroupIds"}),
                at_create=False,
            ),
            Setting(
                on=("DisableApiTermination",),
                op=Op(
                    name="ModifyInstanceAttribute",
                    members={"InstanceId": "$id", "DisableApiTermination": {"Value": "$DisableApiTermination"}},
                ),
                at_create=False,
            ),
        ),
        tagging=tagging("instance"),
        delete=Op(name="TerminateInstances", members={"InstanceIds": ["$id"]}),
        gone=_NO_INSTANCE,
        waits_until_gone=True,
    ),
    Kind(
        type="AWS::EC2::Volume",
        service="ec2",
        create=Op(name="CreateVolume", takes=None),
        id="answer.VolumeId || answer.adopted",
        adopt=made_by_token("DescribeVolumes"),
        adopted="answer.Volumes[0].VolumeId",
        read=Op(name="DescribeVolumes", members={"VolumeIds": ["$id"]}),
        found="answer.Volumes[0]",
        ready="contains(['available', 'in-use'], read.State)",
        broken="read.State == 'error' && 'EC2 could not make the volume.' || `null`",
        attributes={"VolumeId": "id"},
        settings=(
            Setting(
                on=_VOLUME, op=Op(name="ModifyVolume", members={"VolumeId": "$id"}, takes=_VOLUME), at_create=False
            ),
        ),
        tagging=tagging("volume"),
        delete=Op(name="DeleteVolume", members={"VolumeId": "$id"}),
        snapshots=(
            Op(name="CreateSnapshot", members={"VolumeId": "$id"}),
            Op(name="DeleteVolume", members={"VolumeId": "$id"}),
        ),
        gone=_NO_VOLUME,
        busy=frozenset({"VolumeInUse"}),
    ),
    Kind(
        type="AWS::EC2::VolumeAttachment",
        service="ec2",
        create=Op(name="AttachVolume", takes=("Device", "InstanceId", "VolumeId")),
        id="join('|', [VolumeId, InstanceId])",
        adopt=Op(
            name="DescribeVolumes",
            members={
                "VolumeIds": ["$VolumeId"],
                "Filters": [{"Name": "attachment.instance-id", "Values": ["$InstanceId"]}],
            },
        ),
        adopted="answer.Volumes[0].VolumeId",
        read=Op(
            name="DescribeVolumes",
            members={
                "VolumeIds": ["$VolumeId"],
                "Filters": [{"Name": "attachment.instance-id", "Values": ["$InstanceId"]}],
            },
        ),
        found="answer.Volumes[0].Attachments[0]",
        delete=Op(name="DetachVolume", takes=("InstanceId", "VolumeId")),
        gone=_NO_INSTANCE | _NO_VOLUME | {"IncorrectState", "InvalidAttachment.NotFound"},
        waits_until_gone=True,
    ),
    Kind(
        type="AWS::EC2::KeyPair",
        service="ec2",
        create=Op(name="ImportKeyPair", takes=("KeyName", "PublicKeyMaterial")),
        id="KeyName",
        adopt=Op(name="DescribeKeyPairs", takes=(), members={"KeyNames": ["$KeyName"]}),
        adopted="answer.KeyPairs[0].KeyName",
        attributes={"KeyFingerprint": "read.KeyFingerprint", "KeyPairId": "read.KeyPairId"},
        read=Op(name="DescribeKeyPairs", members={"KeyNames": ["$id"]}),
        found="answer.KeyPairs[0]",
        tagging=tagging("key-pair", "$attributes.KeyPairId"),
        delete=Op(name="DeleteKeyPair", members={"KeyName": "$id"}),
        gone=frozenset({"InvalidKeyPair.NotFound"}),
    ),
    Kind(
        type="AWS::AutoScaling::LaunchConfiguration",
        service="autoscaling",
        create=Op(
            name="CreateLaunchConfiguration",
            members={
                "UserData": "$UserData && from_base64(UserData)",
                "InstanceMonitoring": {"Enabled": "$InstanceMonitoring"},
            },
            takes=None,
        ),
        id="LaunchConfigurationName",
        named=("LaunchConfigurationName", 255),
        adopt=Op(name="DescribeLaunchConfigurations", members={"LaunchConfigurationNames": ["$name"]}),
        adopted="answer.LaunchConfigurations[0].LaunchConfigurationName",
        delete=Op(name="DeleteLaunchConfiguration", members={"LaunchConfigurationName": "$id"}),
        gone=frozenset({"ValidationError"}),
        busy=frozenset({"ResourceInUse"}),
    ),
)
