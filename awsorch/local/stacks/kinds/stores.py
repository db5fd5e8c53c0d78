"""Logs, parameters, secrets, buckets, queues, topics, tables."""

from __future__ import annotations

from awsorch.local.stacks.kinds.kind import Draft, Kind, Op, Setting, Tagging

_QUEUE = (
    "ContentBasedDeduplication",
    "DeduplicationScope",
    "DelaySeconds",
    "FifoQueue",
    "FifoThroughputLimit",
    "KmsDataKeyReusePeriodSeconds",
    "KmsMasterKeyId",
    "MaximumMessageSize",
    "MessageRetentionPeriod",
    "ReceiveMessageWaitTimeSeconds",
    "RedriveAllowPolicy",
    "RedrivePolicy",
    "SqsManagedSseEnabled",
    "VisibilityTimeout",
)
_GENERATED = "GenerateSecretString"
_ASKED = (
    "ExcludeCharacters",
    "ExcludeLowercase",
    "ExcludeNumbers",
    "ExcludePunctuation",
    "ExcludeUppercase",
    "IncludeSpace",
    "PasswordLength",
    "RequireEachIncludedType",
)
_SECRET = (
    "$SecretString || drafted && (GenerateSecretString.SecretStringTemplate && to_string(merge("
    "from_json(GenerateSecretString.SecretStringTemplate), "
    "pair(GenerateSecretString.GenerateStringKey, drafted.RandomPassword))) || drafted.RandomPassword)"
)
_QUEUE_ATTRIBUTES = {name: f"${name}" for name in _QUEUE}
_LOG_GROUP = "join(':', ['arn:aws:logs', region, account, 'log-group', id, '*'])"
_LOG_GROUP_TAGGED = "$join(':', ['arn:aws:logs', region, account, 'log-group', id])"

KINDS = (
    Kind(
        type="AWS::Logs::LogGroup",
        service="logs",
        create=Op(name="CreateLogGroup", takes=None),
        id="LogGroupName",
        named=("LogGroupName", 512),
        adopt=Op(name="ListTagsLogGroup", members={"logGroupName": "$name"}),
        attributes={"Arn": _LOG_GROUP},
        settings=(
            Setting(
                on=("RetentionInDays",),
                op=Op(name="PutRetentionPolicy", members={"logGroupName": "$id"}, takes=("RetentionInDays",)),
                unset=Op(name="DeleteRetentionPolicy", members={"logGroupName": "$id"}),
            ),
        ),
        tagging=Tagging(
            at_create={"tags": "$tag_map"},
            set=Op(name="TagResource", members={"resourceArn": _LOG_GROUP_TAGGED, "tags": "$fresh_map"}),
            unset=Op(name="UntagResource", members={"resourceArn": _LOG_GROUP_TAGGED, "tagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteLogGroup", members={"logGroupName": "$id"}),
        gone=frozenset({"ResourceNotFoundException"}),
    ),
    Kind(
        type="AWS::SSM::Parameter",
        service="ssm",
        create=Op(name="PutParameter", takes=None),
        id="Name",
        named=("Name", 1011),
        read=Op(name="GetParameter", members={"Name": "$id"}),
        found="answer.Parameter",
        attributes={"Type": "read.Type", "Value": "read.Value"},
        adopt=Op(name="GetParameter", members={"Name": "$name"}),
        settings=(
            Setting(
                on=("AllowedPattern", "Description", "Policies", "Tier", "Type", "Value"),
                op=Op(name="PutParameter", members={"Overwrite": True}, takes=None),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(
                name="AddTagsToResource",
                members={"ResourceType": "Parameter", "ResourceId": "$id", "Tags": "$fresh"},
            ),
            unset=Op(
                name="RemoveTagsFromResource",
                members={"ResourceType": "Parameter", "ResourceId": "$id", "TagKeys": "$gone"},
            ),
        ),
        delete=Op(name="DeleteParameter", members={"Name": "$id"}),
        gone=frozenset({"ParameterNotFound"}),
    ),
    Kind(
        type="AWS::SecretsManager::Secret",
        service="secretsmanager",
        create=Op(
            name="CreateSecret",
            members={"SecretString": _SECRET},
            takes=("Name", "Description", "KmsKeyId", "SecretString"),
        ),
        draft=Draft(
            on=_GENERATED,
            op=Op(name="GetRandomPassword", members={name: f"${_GENERATED}.{name}" for name in _ASKED}),
        ),
        id="answer.ARN",
        named=("Name", 512),
        adopt=Op(name="DescribeSecret", members={"SecretId": "$name"}),
        attributes={"Id": "id"},
        settings=(
            Setting(
                on=("Description", "KmsKeyId", "SecretString", _GENERATED),
                op=Op(
                    name="UpdateSecret",
                    members={"SecretId": "$id", "SecretString": _SECRET},
                    takes=("Description", "KmsKeyId"),
                ),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="TagResource", members={"SecretId": "$id", "Tags": "$fresh"}),
            unset=Op(name="UntagResource", members={"SecretId": "$id", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteSecret", members={"SecretId": "$id", "ForceDeleteWithoutRecovery": True}),
        gone=frozenset({"ResourceNotFoundException"}),
    ),
    Kind(
        type="AWS::SQS::Queue",
        service="sqs",
        create=Op(name="CreateQueue", members={"QueueName": "$name", "Attributes": _QUEUE_ATTRIBUTES}),
        id="answer.QueueUrl",
        named=("QueueName", 80),
        read=Op(name="GetQueueAttributes", members={"QueueUrl": "$id", "AttributeNames": ["QueueArn"]}),
        found="answer.Attributes",
        attributes={"Arn": "read.QueueArn", "QueueName": "name", "QueueUrl": "id"},
        settings=(
            Setting(
                on=_QUEUE,
                op=Op(name="SetQueueAttributes", members={"QueueUrl": "$id", "Attributes": _QUEUE_ATTRIBUTES}),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"tags": "$tag_map"},
            set=Op(name="TagQueue", members={"QueueUrl": "$id", "Tags": "$fresh_map"}),
            unset=Op(name="UntagQueue", members={"QueueUrl": "$id", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteQueue", members={"QueueUrl": "$id"}),
        gone=frozenset({"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}),
    ),
    Kind(
        type="AWS::SNS::Topic",
        service="sns",
        create=Op(name="CreateTopic", members={"Name": "$name", "Attributes": {"DisplayName": "$DisplayName"}}),
        id="answer.TopicArn",
        named=("TopicName", 256),
        attributes={"TopicArn": "id", "TopicName": "name"},
        settings=(
            Setting(
                on=("DisplayName",),
                op=Op(
                    name="SetTopicAttributes",
                    members={
                        "TopicArn": "$id",
                        "AttributeName": "DisplayName",
                        "AttributeValue": "$DisplayName",
                    },
                ),
                at_create=False,
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="TagResource", members={"ResourceArn": "$id", "Tags": "$fresh"}),
            unset=Op(name="UntagResource", members={"ResourceArn": "$id", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteTopic", members={"TopicArn": "$id"}),
        gone=frozenset({"NotFound"}),
    ),
    Kind(
        type="AWS::SNS::Subscription",
        service="sns",
        create=Op(
            name="Subscribe",
            members={
                "ReturnSubscriptionArn": True,
                "Attributes": {"FilterPolicy": "$FilterPolicy", "RawMessageDelivery": "$RawMessageDelivery"},
            },
            takes=("TopicArn", "Protocol", "Endpoint"),
        ),
        id="answer.SubscriptionArn",
        delete=Op(name="Unsubscribe", members={"SubscriptionArn": "$id"}),
        gone=frozenset({"NotFound"}),
    ),
    Kind(
        type="AWS::DynamoDB::Table",
        service="dynamodb",
        create=Op(name="CreateTable", takes=None),
        id="TableName",
        named=("TableName", 255),
        adopt=Op(name="DescribeTable", members={"TableName": "$name"}),
        read=Op(name="DescribeTable", members={"TableName": "$id"}),
        found="answer.Table",
        ready="read.TableStatus == 'ACTIVE'",
        attributes={"Arn": "read.TableArn", "StreamArn": "read.LatestStreamArn"},
        settings=(
            Setting(
                on=("BillingMode", "ProvisionedThroughput"),
                op=Op(name="UpdateTable", takes=("TableName", "BillingMode", "ProvisionedThroughput")),
                at_create=False,
            ),
            Setting(
                on=("TimeToLiveSpecification",),
                op=Op(name="UpdateTimeToLive", members={"TableName": "$id"}, takes=("TimeToLiveSpecification",)),
            ),
        ),
        tagging=Tagging(
            at_create={"Tags": "$tags"},
            set=Op(name="TagResource", members={"ResourceArn": "$attributes.Arn", "Tags": "$fresh"}),
            unset=Op(name="UntagResource", members={"ResourceArn": "$attributes.Arn", "TagKeys": "$gone"}),
        ),
        delete=Op(name="DeleteTable", members={"TableName": "$id"}),
        gone=frozenset({"ResourceNotFoundException"}),
        busy=frozenset({"ResourceInUseException"}),
        waits_until_gone=True,
    ),
    Kind(
        type="AWS::S3::Bucket",
        service="s3",
        create=Op(
            name="CreateBucket",
            members={
                "Bucket": "$name",
                "CreateBucketConfiguration": {"LocationConstraint": "$region != 'us-east-1' && region || `null`"},
            },
        ),
        id="BucketName",
        named=("BucketName", 63),
        name_is_lower=True,
        adopt=Op(name="GetBucketLocation", members={"Bucket": "$name"}),
        attributes={
            "Arn": "join('', ['arn:aws:s3:::', id])",
            "DomainName": "join('', [id, '.s3.amazonaws.com'])",
            "RegionalDomainName": "join('', [id, '.s3.', region, '.amazonaws.com'])",
        },
        settings=(
            Setting(
                on=("VersioningConfiguration",),
                op=Op(name="PutBucketVersioning", members={"Bucket": "$id"}, takes=("VersioningConfiguration",)),
            ),
            Setting(
                on=("PublicAccessBlockConfiguration",),
                op=Op(
                    name="PutPublicAccessBlock", members={"Bucket": "$id"}, takes=("PublicAccessBlockConfiguration",)
                ),
                unset=Op(name="DeletePublicAccessBlock", members={"Bucket": "$id"}),
            ),
            Setting(
                on=("BucketEncryption",),
                op=Op(
                    name="PutBucketEncryption",
                    members={
                        "Bucket": "$id",
                        "ServerSideEncryptionConfiguration": {
                            "Rules": "$BucketEncryption.ServerSideEncryptionConfiguration[]."
                            "{ApplyServerSideEncryptionByDefault: ServerSideEncryptionByDefault, "
                            "BucketKeyEnabled: BucketKeyEnabled}"
                        },
                    },
                ),
                unset=Op(name="DeleteBucketEncryption", members={"Bucket": "$id"}),
            ),
        ),
        tagging=Tagging(
            set=Op(name="PutBucketTagging", members={"Bucket": "$id", "Tagging": {"TagSet": "$tags"}}),
            unset=Op(name="PutBucketTagging", members={"Bucket": "$id", "Tagging": {"TagSet": "$tags"}}),
            apart=True,
        ),
        delete=Op(name="DeleteBucket", members={"Bucket": "$id"}),
        gone=frozenset({"NoSuchBucket", "404"}),
    ),
)
