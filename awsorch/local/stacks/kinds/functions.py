"""Tables of Lambda's types. A function's `Code` comes as bytes here: see `functions` beside this folder."""

from __future__ import annotations

from awsorch.local.stacks.kinds.kind import Kind, Op, Setting, Tagging

_SETTINGS = (
    "DeadLetterConfig",
    "Description",
    "Environment",
    "EphemeralStorage",
    "FileSystemConfigs",
    "Handler",
    "ImageConfig",
    "KmsKeyArn",
    "Layers",
    "LoggingConfig",
    "MemorySize",
    "Role",
    "Runtime",
    "SnapStart",
    "Timeout",
    "TracingConfig",
    "VpcConfig",
)
_GONE = frozenset({"ResourceNotFoundException"})

KINDS = (
    Kind(
        type="AWS::Lambda::Function",
        service="lambda",
        create=Op(
            name="CreateFunction",
            members={"FunctionName": "$name"},
            takes=(*_SETTINGS, "Architectures", "Code", "PackageType"),
        ),
        id="name",
        named=("FunctionName", 64),
        adopt=Op(name="GetFunctionConfiguration", members={"FunctionName": "$name"}),
        adopted="answer.FunctionName",
        read=Op(name="GetFunctionConfiguration", members={"FunctionName": "$id"}),
        attributes={"Arn": "read.FunctionArn"},
        settings=(
            Setting(
                on=("Architectures", "Code"),
                op=Op(
                    name="UpdateFunctionCode",
                    members={
                        "FunctionName": "$id",
                        "ZipFile": "$Code.ZipFile",
                        "ImageUri": "$Code.ImageUri",
                        "Architectures": "$Architectures",
                    },
                ),
                at_create=False,
            ),
            Setting(
                on=_SETTINGS,
                op=Op(name="UpdateFunctionConfiguration", members={"FunctionName": "$id"}, takes=_SETTINGS),
                at_create=False,
            ),
            Setting(
                on=("ReservedConcurrentExecutions",),
                op=Op(
                    name="PutFunctionConcurrency",
                    members={
                        "FunctionName": "$id",
                        "ReservedConcurrentExecutions": "$ReservedConcurrentExecutions",
                    },
                ),
                unset=Op(name="DeleteFunctionConcurrency", members={"FunctionName": "$id"}),
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tag_map"},
            set=Op(name="TagResource", members={"Resource": "$attributes.Arn", "Tags": "$fresh_map"}),
            unset=Op(name="UntagResource", members={"Resource": "$attributes.Arn", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteFunction", members={"FunctionName": "$id"}),
        gone=_GONE,
    ),
    Kind(
        type="AWS::Lambda::Permission",
        service="lambda",
        create=Op(name="AddPermission", members={"StatementId": "$name"}, takes=None),
        id="name",
        attributes={"Id": "id"},
        delete=Op(name="RemovePermission", members={"StatementId": "$id"}, takes=("FunctionName",)),
        gone=_GONE,
    ),
)
