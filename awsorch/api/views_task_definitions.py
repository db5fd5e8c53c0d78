"""Task definitions and account settings as ECS shows them: pure functions from a record to the model's shape.

Source: ECS API reference, data types TaskDefinition and Setting.
"""

from __future__ import annotations

from typing import Any

from awsorch.api.views import stamp
from awsorch.core.model import AccountSetting, TaskDefinition
from awsorch.core.rules.account_settings import rule_of

View = dict[str, Any]


def task_definition_view(definition: TaskDefinition) -> View:
    """A TaskDefinition. Its tags are no part of it: operations answer them beside it."""
    return {
        "taskDefinitionArn": definition.arn,
        "family": definition.family,
        "revision": definition.revision,
        "status": definition.status,
        **definition.definition,
        "registeredAt": stamp(definition.registered_at),
        "registeredBy": definition.registered_by,
        "deregisteredAt": stamp(definition.deregistered_at),
        "deleteRequestedAt": stamp(definition.delete_requested_at),
    }


def setting_view(setting: AccountSetting) -> View:
    """A Setting."""
    return {
        "name": setting.name,
        "value": setting.value,
        "principalArn": setting.principal_arn,
        "type": "aws_managed" if rule_of(setting.name).managed else "user",
    }
