"""Names: Cloud Map's namespaces and services, Route 53's zones and records, certificates."""

from __future__ import annotations

from collections.abc import Mapping

from awsorch.local.stacks.kinds.kind import Kind, Op, Setting, Tagging

_NO_NAMESPACE = frozenset({"NamespaceNotFound"})
_ARN_TAGGING = Tagging(
    at_create={"Tags": "$tags"},
    set=Op(name="TagResource", members={"ResourceARN": "$attributes.Arn", "Tags": "$fresh"}),
    unset=Op(name="UntagResource", members={"ResourceARN": "$attributes.Arn", "TagKeys": "$gone"}),
)
_RECORDS = ("AliasTarget", "Comment", "ResourceRecords", "TTL")


def _namespace(kind: str, zone: Mapping[str, str]) -> Kind:
    return Kind(
        type=f"AWS::ServiceDiscovery::{kind}",
        service="servicediscovery",
        create=Op(name=f"Create{kind}", members={"CreatorRequestId": "$token"}, takes=None),
        identify=Op(name="GetOperation", members={"OperationId": "$answer.OperationId"}),
        id="answer.Operation.Targets.NAMESPACE || answer.adopted",
        adopt=Op(name="ListNamespaces"),
        adopted="having(answer.Namespaces, 'Name', Name) | [0].Id",
        read=Op(name="GetNamespace", members={"Id": "$id"}),
        found="answer.Namespace",
        attributes={"Arn": "read.Arn", "Id": "id", **zone},
        tagging=_ARN_TAGGING,
        delete=Op(name="DeleteNamespace", members={"Id": "$id"}),
        gone=_NO_NAMESPACE,
        busy=frozenset({"ResourceInUse"}),
    )


def _record(action: str) -> Op:
    """A change of one record; what a template says flatly is nested here."""
    record = {
        "Name": "$Name",
        "Type": "$Type",
        "TTL": "$TTL",
        "ResourceRecords": "$ResourceRecords[].{Value: @}",
        "AliasTarget": '$AliasTarget && merge(`{"EvaluateTargetHealth": false}`, AliasTarget)',
        "SetIdentifier": "$SetIdentifier",
        "Weight": "$Weight",
        "Region": "$Region",
        "Failover": "$Failover",
        "MultiValueAnswer": "$MultiValueAnswer",
        "HealthCheckId": "$HealthCheckId",
        "GeoLocation": "$GeoLocation",
    }
    batch = {"Comment": "$Comment", "Changes": [{"Action": action, "ResourceRecordSet": record}]}
    return Op(name="ChangeResourceRecordSets", members={"HostedZoneId": "$HostedZoneId", "ChangeBatch": batch})


KINDS = (
    _namespace("HttpNamespace", {}),
    _namespace("PrivateDnsNamespace", {"HostedZoneId": "read.Properties.DnsProperties.HostedZoneId"}),
    _namespace("PublicDnsNamespace", {"HostedZoneId": "read.Properties.DnsProperties.HostedZoneId"}),
    Kind(
        type="AWS::ServiceDiscovery::Service",
        service="servicediscovery",
        create=Op(name="CreateService", members={"Name": "$name", "CreatorRequestId": "$token"}, takes=None),
        id="answer.Service.Id || answer.adopted",
        named=("Name", 127),
        adopt=Op(
            name="ListServices",
            members={"Filters": [{"Name": "NAMESPACE_ID", "Values": ["$NamespaceId || DnsConfig.NamespaceId"]}]},
        ),
        adopted="having(answer.Services, 'Name', name) | [0].Id",
        read=Op(name="GetService", members={"Id": "$id"}),
        found="answer.Service",
        attributes={"Arn": "read.Arn", "Id": "id", "Name": "read.Name"},
        settings=(
            Setting(
                on=("Description", "DnsConfig", "HealthCheckConfig"),
                op=Op(
                    name="UpdateService",
                    members={
                        "Id": "$id",
                        "Service": {
                            "Description": "$Description",
                            "DnsConfig": "$DnsConfig && {DnsRecords: DnsConfig.DnsRecords}",
                            "HealthCheckConfig": "$HealthCheckConfig",
                        },
                    },
                ),
                at_create=False,
            ),
        ),
        tagging=_ARN_TAGGING,
        delete=Op(name="DeleteService", members={"Id": "$id"}),
        gone=frozenset({"ServiceNotFound"}),
        busy=frozenset({"ResourceInUse"}),
    ),
    Kind(
        type="AWS::Route53::HostedZone",
        service="route53",
        create=Op(
            name="CreateHostedZone",
            members={"CallerReference": "$token", "VPC": "$VPCs[0]"},
            takes=("Name", "HostedZoneConfig"),
        ),
        id="part(answer.HostedZone.Id || answer.adopted, '/', `2`)",
        adopt=Op(name="ListHostedZonesByName", members={"DNSName": "$Name"}),
        adopted="having(answer.HostedZones, 'CallerReference', token) | [0].Id",
        read=Op(name="GetHostedZone", members={"Id": "$id"}),
        found="answer",
        attributes={"Id": "id", "NameServers": "read.DelegationSet.NameServers"},
        settings=(
            Setting(
                on=("HostedZoneConfig",),
                op=Op(name="UpdateHostedZoneComment", members={"Id": "$id", "Comment": "$HostedZoneConfig.Comment"}),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            set=Op(
                name="ChangeTagsForResource",
                members={"ResourceType": "hostedzone", "ResourceId": "$id", "AddTags": "$fresh || tags"},
            ),
            unset=Op(
                name="ChangeTagsForResource",
                members={"ResourceType": "hostedzone", "ResourceId": "$id", "RemoveTagKeys": "$gone"},
            ),
            property="HostedZoneTags",
            apart=True,
        ),
        delete=Op(name="DeleteHostedZone", members={"Id": "$id"}),
        gone=frozenset({"NoSuchHostedZone"}),
        busy=frozenset({"HostedZoneNotEmpty"}),
    ),
    Kind(
        type="AWS::Route53::RecordSet",
        service="route53",
        create=_record("UPSERT"),
        id="Name",
        settings=(Setting(on=_RECORDS, op=_record("UPSERT"), at_create=False),),
        delete=_record("DELETE"),
        gone=frozenset({"NoSuchHostedZone", "InvalidChangeBatch"}),
    ),
    Kind(
        type="AWS::CertificateManager::Certificate",
        service="acm",
        create=Op(
            name="RequestCertificate",
            members={
                "IdempotencyToken": "$digest(token)",
                "Options": {
                    "CertificateTransparencyLoggingPreference": "$CertificateTransparencyLoggingPreference",
                },
                "DomainValidationOptions": "$DomainValidationOptions[?ValidationDomain]."
                "{DomainName: DomainName, ValidationDomain: ValidationDomain}",
            },
            takes=(
                "CertificateAuthorityArn",
                "DomainName",
                "KeyAlgorithm",
                "SubjectAlternativeNames",
                "ValidationMethod",
            ),
        ),
        id="answer.CertificateArn",
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="AddTagsToCertificate", members={"CertificateArn": "$id", "Tags": "$fresh"}),
            unset=Op(
                name="RemoveTagsFromCertificate",
                members={"CertificateArn": "$id", "Tags": "$gone[].{Key: @}"},
            ),
        ),
        delete=Op(name="DeleteCertificate", members={"CertificateArn": "$id"}),
        gone=frozenset({"ResourceNotFoundException"}),
        busy=frozenset({"ResourceInUseException"}),
    ),
)
