"""IAM's users, groups, access keys and service-linked roles."""

from __future__ import annotations

from awsorch.local.stacks.kinds.kind import Items, Kind, Op, Setting, Tagging

_GONE = frozenset({"NoSuchEntity"})
_KNOWN = frozenset({"NoSuchEntity", "EntityAlreadyExists"})


def _managed(who: str) -> Items:
    members = {f"{who}Name": "$id", "PolicyArn": "$item"}
    return Items(
        property="ManagedPolicyArns",
        add=Op(name=f"Attach{who}Policy", members=members),
        remove=Op(name=f"Detach{who}Policy", members=members),
        known=_GONE,
        at_delete=True,
    )


def _inline(who: str) -> Items:
    named = {f"{who}Name": "$id", "PolicyName": "$item.PolicyName"}
    return Items(
        property="Policies",
        add=Op(name=f"Put{who}Policy", members={**named, "PolicyDocument": "$item.PolicyDocument"}),
        remove=Op(name=f"Delete{who}Policy", members=named),
        known=_GONE,
        at_delete=True,
    )


KINDS = (
    Kind(
        type="AWS::IAM::User",
        service="iam",
        create=Op(name="CreateUser", takes=("Path", "PermissionsBoundary", "UserName")),
        id="UserName",
        named=("UserName", 64),
        adopt=Op(name="GetUser", members={"UserName": "$name"}),
        read=Op(name="GetUser", members={"UserName": "$id"}),
        found="answer.User",
        attributes={"Arn": "read.Arn"},
        settings=(
            Setting(
                on=("LoginProfile",),
                op=Op(
                    name="CreateLoginProfile",
                    members={
                        "UserName": "$id",
                        "Password": "$LoginProfile.Password",
                        "PasswordResetRequired": "$LoginProfile.PasswordResetRequired",
                    },
                ),
                at_update=False,
            ),
            Setting(
                on=("LoginProfile",),
                op=Op(
                    name="UpdateLoginProfile",
                    members={
                        "UserName": "$id",
                        "Password": "$LoginProfile.Password",
                        "PasswordResetRequired": "$LoginProfile.PasswordResetRequired",
                    },
                ),
                at_create=False,
                unset=Op(name="DeleteLoginProfile", members={"UserName": "$id"}),
            ),
        ),
        items=(
            Items(
                property="Groups",
                add=Op(name="AddUserToGroup", members={"UserName": "$id", "GroupName": "$item"}),
                remove=Op(name="RemoveUserFromGroup", members={"UserName": "$id", "GroupName": "$item"}),
                known=_GONE,
                at_delete=True,
            ),
            _managed("User"),
            _inline("User"),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="TagUser", members={"UserName": "$id", "Tags": "$fresh"}),
            unset=Op(name="UntagUser", members={"UserName": "$id", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteUser", members={"UserName": "$id"}),
        gone=_GONE,
        busy=frozenset({"DeleteConflict"}),
    ),
    Kind(
        type="AWS::IAM::Group",
        service="iam",
        create=Op(name="CreateGroup", takes=("GroupName", "Path")),
        id="GroupName",
        named=("GroupName", 128),
        adopt=Op(name="GetGroup", members={"GroupName": "$name"}),
        read=Op(name="GetGroup", members={"GroupName": "$id"}),
        found="answer.Group",
        attributes={"Arn": "read.Arn"},
        items=(_managed("Group"), _inline("Group")),
        delete=Op(name="DeleteGroup", members={"GroupName": "$id"}),
        gone=_GONE,
        busy=frozenset({"DeleteConflict"}),
    ),
    Kind(
        type="AWS::IAM::UserToGroupAddition",
        service="iam",
        create=None,
        id="name",
        attributes={"Id": "id"},
        items=(
            Items(
                property="Users",
                add=Op(name="AddUserToGroup", members={"UserName": "$item", "GroupName": "$GroupName"}),
                remove=Op(name="RemoveUserFromGroup", members={"UserName": "$item", "GroupName": "$GroupName"}),
                known=_KNOWN,
                at_delete=True,
            ),
        ),
        gone=_GONE,
    ),
    Kind(
        type="AWS::IAM::AccessKey",
        service="iam",
        create=Op(name="CreateAccessKey", takes=("UserName",)),
        id="answer.AccessKey.AccessKeyId",
        told={"SecretAccessKey": "answer.AccessKey.SecretAccessKey"},
        attributes={"Id": "id"},
        settings=(
            Setting(
                on=("Status",),
                op=Op(name="UpdateAccessKey", members={"AccessKeyId": "$id"}, takes=("Status", "UserName")),
                unset=Op(
                    name="UpdateAccessKey", members={"AccessKeyId": "$id", "Status": "Active"}, takes=("UserName",)
                ),
            ),
        ),
        delete=Op(name="DeleteAccessKey", members={"AccessKeyId": "$id"}, takes=("UserName",)),
        gone=_GONE,
    ),
    Kind(
        type="AWS::IAM::ServiceLinkedRole",
        service="iam",
        create=Op(name="CreateServiceLinkedRole", takes=None),
        id="answer.Role.RoleName || answer.adopted",
        adopt=Op(name="ListRoles", members={"PathPrefix": "$join('', ['/aws-service-role/', AWSServiceName, '/'])"}),
        adopted="answer.Roles[0].RoleName",
        attributes={"RoleName": "id"},
        settings=(
            Setting(
                on=("Description",),
                op=Op(name="UpdateRole", members={"RoleName": "$id"}, takes=("Description",)),
                at_create=False,
                unset=Op(name="UpdateRole", members={"RoleName": "$id", "Description": ""}),
            ),
        ),
        delete=Op(name="DeleteServiceLinkedRole", members={"RoleName": "$id"}),
        gone=_GONE,
    ),
)
