"""Elastic Load Balancing: load balancers, listeners, rules, target groups."""

from __future__ import annotations

from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging

_TAGGING = Tagging(
    at_create={"Tags": "$tags"},
    set=Op(name="AddTags", members={"ResourceArns": ["$id"], "Tags": "$fresh"}),
    unset=Op(name="RemoveTags", members={"ResourceArns": ["$id"], "TagKeys": "$gone"}),
)
_CHECKS = (
    "HealthCheckEnabled",
    "HealthCheckIntervalSeconds",
    "HealthCheckPath",
    "HealthCheckPort",
    "HealthCheckProtocol",
    "HealthCheckTimeoutSeconds",
    "HealthyThresholdCount",
    "Matcher",
    "UnhealthyThresholdCount",
)
_LISTENED = ("AlpnPolicy", "Certificates", "DefaultActions", "MutualAuthentication", "Port", "Protocol", "SslPolicy")

_CLASSIC = ("AccessLoggingPolicy", "ConnectionDrainingPolicy", "ConnectionSettings", "CrossZone")

KINDS = (
    Kind(
        type="AWS::ElasticLoadBalancingV2::LoadBalancer",
        service="elbv2",
        create=Op(name="CreateLoadBalancer", takes=None),
        id="answer.LoadBalancers[0].LoadBalancerArn",
        named=("Name", 32),
        adopt=Op(name="DescribeLoadBalancers", members={"Names": ["$name"]}),
        read=Op(name="DescribeLoadBalancers", members={"LoadBalancerArns": ["$id"]}),
        found="answer.LoadBalancers[0]",
        ready="contains(['active', 'active_impaired'], read.State.Code)",
        broken="read.State.Code == 'failed' && (read.State.Reason || 'The load balancer failed.') || `null`",
        attributes={
            "CanonicalHostedZoneID": "read.CanonicalHostedZoneId",
            "DNSName": "read.DNSName",
            "LoadBalancerArn": "id",
            "LoadBalancerFullName": "part(id, ':loadbalancer/', `1`)",
            "LoadBalancerName": "read.LoadBalancerName",
            "SecurityGroups": "read.SecurityGroups",
        },
        settings=(
            Setting(
                on=("LoadBalancerAttributes",),
                op=Op(
                    name="ModifyLoadBalancerAttributes",
                    members={"LoadBalancerArn": "$id", "Attributes": "$LoadBalancerAttributes"},
                ),
            ),
            Setting(
                on=("SecurityGroups",),
                op=Op(name="SetSecurityGroups", members={"LoadBalancerArn": "$id"}, takes=("SecurityGroups",)),
                at_create=False,
            ),
            Setting(
                on=("Subnets", "SubnetMappings"),
                op=Op(name="SetSubnets", members={"LoadBalancerArn": "$id"}, takes=("Subnets", "SubnetMappings")),
                at_create=False,
            ),
            Setting(
                on=("IpAddressType",),
                op=Op(name="SetIpAddressType", members={"LoadBalancerArn": "$id"}, takes=("IpAddressType",)),
                at_create=False,
            ),
        ),
        tagging=_TAGGING,
        delete=Op(name="DeleteLoadBalancer", members={"LoadBalancerArn": "$id"}),
        gone=frozenset({"LoadBalancerNotFound"}),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::TargetGroup",
        service="elbv2",
        create=Op(name="CreateTargetGroup", takes=None),
        id="answer.TargetGroups[0].TargetGroupArn",
        named=("Name", 32),
        adopt=Op(name="DescribeTargetGroups", members={"Names": ["$name"]}),
        read=Op(name="DescribeTargetGroups", members={"TargetGroupArns": ["$id"]}),
        found="answer.TargetGroups[0]",
        attributes={
            "LoadBalancerArns": "read.LoadBalancerArns",
            "TargetGroupArn": "id",
            "TargetGroupFullName": "part(id, ':', `5`)",
            "TargetGroupName": "read.TargetGroupName",
        },
        settings=(
            Setting(
                on=("TargetGroupAttributes",),
                op=Op(
                    name="ModifyTargetGroupAttributes",
                    members={"TargetGroupArn": "$id", "Attributes": "$TargetGroupAttributes"},
                ),
            ),
            Setting(
                on=("Targets",),
                op=Op(name="RegisterTargets", members={"TargetGroupArn": "$id"}, takes=("Targets",)),
            ),
            Setting(
                on=_CHECKS,
                op=Op(name="ModifyTargetGroup", members={"TargetGroupArn": "$id"}, takes=_CHECKS),
                at_create=False,
            ),
        ),
        tagging=_TAGGING,
        delete=Op(name="DeleteTargetGroup", members={"TargetGroupArn": "$id"}),
        gone=frozenset({"TargetGroupNotFound"}),
        busy=frozenset({"ResourceInUse"}),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::Listener",
        service="elbv2",
        create=Op(name="CreateListener", takes=None),
        id="answer.Listeners[0].ListenerArn || answer.adopted",
        adopt=Op(name="DescribeListeners", takes=("LoadBalancerArn",)),
        adopted="having(answer.Listeners, 'Port', to_number(Port)) | [0].ListenerArn",
        attributes={"ListenerArn": "id"},
        settings=(
            Setting(
                on=_LISTENED,
                op=Op(name="ModifyListener", members={"ListenerArn": "$id"}, takes=_LISTENED),
                at_create=False,
            ),
        ),
        tagging=_TAGGING,
        delete=Op(name="DeleteListener", members={"ListenerArn": "$id"}),
        gone=frozenset({"ListenerNotFound"}),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::ListenerRule",
        service="elbv2",
        create=Op(name="CreateRule", takes=None),
        id="answer.Rules[0].RuleArn || answer.adopted",
        adopt=Op(name="DescribeRules", takes=("ListenerArn",)),
        adopted="having(answer.Rules, 'Priority', to_string(Priority)) | [0].RuleArn",
        attributes={"RuleArn": "id"},
        settings=(
            Setting(
                on=("Actions", "Conditions"),
                op=Op(name="ModifyRule", members={"RuleArn": "$id"}, takes=("Actions", "Conditions")),
                at_create=False,
            ),
            Setting(
                on=("Priority",),
                op=Op(
                    name="SetRulePriorities",
                    members={"RulePriorities": [{"RuleArn": "$id", "Priority": "$Priority"}]},
                ),
                at_create=False,
            ),
        ),
        tagging=_TAGGING,
        delete=Op(name="DeleteRule", members={"RuleArn": "$id"}),
        gone=frozenset({"RuleNotFound"}),
    ),
    Kind(
        type="AWS::ElasticLoadBalancingV2::ListenerCertificate",
        service="elbv2",
        create=None,
        id="ListenerArn",
        attributes={"Id": "id"},
        items=(
            Items(
                property="Certificates",
                add=Op(name="AddListenerCertificates", members={"ListenerArn": "$id", "Certificates": ["$item"]}),
                remove=Op(name="RemoveListenerCertificates", members={"ListenerArn": "$id", "Certificates": ["$item"]}),
                known=frozenset({"ListenerNotFound", "CertificateNotFound"}),
                at_delete=True,
            ),
        ),
    ),
    Kind(
        type="AWS::ElasticLoadBalancing::LoadBalancer",
        service="elb",
        create=Op(
            name="CreateLoadBalancer",
            members={
                "Listeners": "$Listeners[].{Protocol: Protocol, LoadBalancerPort: LoadBalancerPort, "
                "InstanceProtocol: InstanceProtocol, InstancePort: InstancePort, SSLCertificateId: SSLCertificateId}"
            },
            takes=("AvailabilityZones", "LoadBalancerName", "Scheme", "SecurityGroups", "Subnets"),
        ),
        id="LoadBalancerName",
        named=("LoadBalancerName", 32),
        adopt=Op(name="DescribeLoadBalancers", members={"LoadBalancerNames": ["$name"]}),
        read=Op(name="DescribeLoadBalancers", members={"LoadBalancerNames": ["$id"]}),
        found="answer.LoadBalancerDescriptions[0]",
        attributes={
            "CanonicalHostedZoneName": "read.CanonicalHostedZoneName",
            "CanonicalHostedZoneNameID": "read.CanonicalHostedZoneNameID",
            "DNSName": "read.DNSName",
            "SourceSecurityGroup.GroupName": "read.SourceSecurityGroup.GroupName",
            "SourceSecurityGroup.OwnerAlias": "read.SourceSecurityGroup.OwnerAlias",
        },
        settings=(
            Setting(
                on=("HealthCheck",),
                op=Op(name="ConfigureHealthCheck", members={"LoadBalancerName": "$id"}, takes=("HealthCheck",)),
            ),
            Setting(
                on=_CLASSIC,
                op=Op(
                    name="ModifyLoadBalancerAttributes",
                    members={
                        "LoadBalancerName": "$id",
                        "LoadBalancerAttributes": {
                            "AccessLog": "$AccessLoggingPolicy",
                            "ConnectionDraining": "$ConnectionDrainingPolicy",
                            "ConnectionSettings": "$ConnectionSettings",
                            "CrossZoneLoadBalancing": "$CrossZone && {Enabled: CrossZone}",
                        },
                    },
                ),
            ),
            Setting(
                on=("SecurityGroups",),
                op=Op(
                    name="ApplySecurityGroupsToLoadBalancer",
                    members={"LoadBalancerName": "$id"},
                    takes=("SecurityGroups",),
                ),
                at_create=False,
            ),
        ),
        items=(
            Items(
                property="Instances",
                add=Op(
                    name="RegisterInstancesWithLoadBalancer",
                    members={"LoadBalancerName": "$id", "Instances": [{"InstanceId": "$item"}]},
                ),
                remove=Op(
                    name="DeregisterInstancesFromLoadBalancer",
                    members={"LoadBalancerName": "$id", "Instances": [{"InstanceId": "$item"}]},
                ),
                known=frozenset({"InvalidInstance", "LoadBalancerNotFound"}),
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="AddTags", members={"LoadBalancerNames": ["$id"], "Tags": "$fresh"}),
            unset=Op(name="RemoveTags", members={"LoadBalancerNames": ["$id"], "Tags": "$gone[].{Key: @}"}),
        ),
        delete=Op(name="DeleteLoadBalancer", members={"LoadBalancerName": "$id"}),
        gone=frozenset({"LoadBalancerNotFound"}),
    ),
)
