"""IAM's roles, policies and instance profiles."""

from __future__ import annotations

from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging

_GONE = frozenset({"NoSuchEntity"})
_KNOWN = frozenset({"NoSuchEntity", "EntityAlreadyExists", "LimitExceeded"})


def _role_tags() -> Tagging:
    return Tagging(
        at_create={"Tags": "$tags"},
        set=Op(name="TagRole", members={"RoleName": "$id", "Tags": "$fresh"}),
        unset=Op(name="UntagRole", members={"RoleName": "$id", "TagKeys": "$gone"}),
    )


def _holders(property: str, who: str) -> Items:
    """Who has an inline policy; a change of the document concerns them all."""
    name = f"{who}Name"
    return Items(
        property=property,
        add=Op(
            name=f"Put{who}Policy",
            members={name: "$item", "PolicyName": "$PolicyName", "PolicyDocument": "$PolicyDocument"},
        ),
        remove=Op(name=f"Delete{who}Policy", members={name: "$item", "PolicyName": "$PolicyName"}),
        known=_GONE,
        at_delete=True,
        also=("PolicyDocument",),
    )


def _attached(property: str, who: str) -> Items:
    """Whom a managed policy is attached to."""
    members = {f"{who}Name": "$item", "PolicyArn": "$id"}
    return Items(
        property=property,
        add=Op(name=f"Attach{who}Policy", members=members),
        remove=Op(name=f"Detach{who}Policy", members=members),
        known=_KNOWN,
        at_delete=True,
    )


KINDS = (
    Kind(
        type="AWS::IAM::Role",
        service="iam",
        create=Op(name="CreateRole", takes=None),
        id="RoleName",
        named=("RoleName", 64),
        adopt=Op(name="GetRole", members={"RoleName": "$name"}),
        read=Op(name="GetRole", members={"RoleName": "$id"}),
        found="answer.Role",
        attributes={"Arn": "read.Arn", "RoleId": "read.RoleId"},
        settings=(
            Setting(
                on=("AssumeRolePolicyDocument",),
                op=Op(
                    name="UpdateAssumeRolePolicy",
                    members={"RoleName": "$id", "PolicyDocument": "$AssumeRolePolicyDocument"},
                ),
                at_create=False,
            ),
            Setting(
                on=("Description", "MaxSessionDuration"),
                op=Op(name="UpdateRole", members={"RoleName": "$id"}, takes=("Description", "MaxSessionDuration")),
                at_create=False,
                unset=Op(name="UpdateRole", members={"RoleName": "$id", "Description": "", "MaxSessionDuration": 3600}),
            ),
            Setting(
                on=("PermissionsBoundary",),
                op=Op(name="PutRolePermissionsBoundary", members={"RoleName": "$id"}, takes=("PermissionsBoundary",)),
                at_create=False,
                unset=Op(name="DeleteRolePermissionsBoundary", members={"RoleName": "$id"}),
            ),
        ),
        items=(
            Items(
                property="ManagedPolicyArns",
                add=Op(name="AttachRolePolicy", members={"RoleName": "$id", "PolicyArn": "$item"}),
                remove=Op(name="DetachRolePolicy", members={"RoleName": "$id", "PolicyArn": "$item"}),
                known=_GONE,
                at_delete=True,
            ),
            Items(
                property="Policies",
                add=Op(
                    name="PutRolePolicy",
                    members={
                        "RoleName": "$id",
                        "PolicyName": "$item.PolicyName",
                        "PolicyDocument": "$item.PolicyDocument",
                    },
                ),
                remove=Op(name="DeleteRolePolicy", members={"RoleName": "$id", "PolicyName": "$item.PolicyName"}),
                known=_GONE,
                at_delete=True,
            ),
        ),
        tagging=_role_tags(),
        delete=Op(name="DeleteRole", members={"RoleName": "$id"}),
        gone=_GONE,
        busy=frozenset({"DeleteConflict"}),
    ),
    Kind(
        type="AWS::IAM::Policy",
        service="iam",
        create=None,
        id="PolicyName",
        named=("PolicyName", 128),
        items=(_holders("Roles", "Role"), _holders("Users", "User"), _holders("Groups", "Group")),
        gone=_GONE,
    ),
    Kind(
        type="AWS::IAM::ManagedPolicy",
        service="iam",
        create=Op(name="CreatePolicy", takes=None),
        id="answer.Policy.Arn",
        named=("ManagedPolicyName", 128),
        renamed={"ManagedPolicyName": "PolicyName"},
        adopt=Op(
            name="GetPolicy",
            members={"PolicyArn": "$join('', ['arn:aws:iam::', account, ':policy', Path || '/', name])"},
        ),
        attributes={"PolicyArn": "id"},
        settings=(
            Setting(
                on=("PolicyDocument",),
                op=Op(
                    name="CreatePolicyVersion",
                    members={"PolicyArn": "$id", "PolicyDocument": "$PolicyDocument", "SetAsDefault": True},
                ),
                at_create=False,
            ),
        ),
        items=(_attached("Roles", "Role"), _attached("Users", "User"), _attached("Groups", "Group")),
        delete=Op(name="DeletePolicy", members={"PolicyArn": "$id"}),
        gone=_GONE,
        busy=frozenset({"DeleteConflict"}),
    ),
    Kind(
        type="AWS::IAM::InstanceProfile",
        service="iam",
        create=Op(name="CreateInstanceProfile", takes=None),
        id="InstanceProfileName",
        named=("InstanceProfileName", 128),
        adopt=Op(name="GetInstanceProfile", members={"InstanceProfileName": "$name"}),
        read=Op(name="GetInstanceProfile", members={"InstanceProfileName": "$id"}),
        found="answer.InstanceProfile",
        attributes={"Arn": "read.Arn"},
        items=(
            Items(
                property="Roles",
                add=Op(name="AddRoleToInstanceProfile", members={"InstanceProfileName": "$id", "RoleName": "$item"}),
                remove=Op(
                    name="RemoveRoleFromInstanceProfile", members={"InstanceProfileName": "$id", "RoleName": "$item"}
                ),
                known=_KNOWN,
                at_delete=True,
            ),
        ),
        delete=Op(name="DeleteInstanceProfile", members={"InstanceProfileName": "$id"}),
        gone=_GONE,
    ),
    Kind(
        type="AWS::IAM::RolePolicy",
        service="iam",
        create=Op(name="PutRolePolicy", takes=None),
        id="join('|', [PolicyName, RoleName])",
        settings=(Setting(on=("PolicyDocument",), op=Op(name="PutRolePolicy", takes=None), at_create=False),),
        delete=Op(name="DeleteRolePolicy", takes=("RoleName", "PolicyName")),
        gone=_GONE,
    ),
)
