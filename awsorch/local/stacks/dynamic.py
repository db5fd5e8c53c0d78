"""Dynamic references: `{{resolve:ssm:name}}` and its like, replaced when a property is handed to its service.

What a stack keeps is the text with the reference, so that no secret is kept, and a change of the secret alone is no
change of the resource. Source: AWS CloudFormation user guide, "Get values stored in other services using dynamic
references".
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused
from awsorch.local.stacks.errors import TemplateError

_REFERENCE = re.compile(r"\{\{resolve:(ssm|ssm-secure|secretsmanager):([^{}]+)\}\}")
_SECRET_ARN = re.compile(r"(arn:[^:]+:secretsmanager:[^:]+:[^:]+:secret:[^:]+)(?::(.*))?")


async def resolve(calls: AwsCalls, value: Any) -> Any:
    """The value with every reference in it replaced. Raises TemplateError."""
    if isinstance(value, list):
        return [await resolve(calls, each) for each in value]
    if isinstance(value, Mapping):
        return {key: await resolve(calls, each) for key, each in value.items()}
    if not isinstance(value, str) or "{{resolve:" not in value:
        return value
    return await _replaced(calls, value)


async def ssm_values(calls: AwsCalls, names: Mapping[str, str]) -> dict[str, str]:
    """Template parameter to the value of the SSM parameter that it names. Raises TemplateError."""
    found = {}
    for parameter, name in names.items():
        try:
            answer = await calls.call("ssm", "GetParameter", {"Name": name, "WithDecryption": True})
        except CallRefused as error:
            if error.code == "ParameterNotFound":
                said = f"Unable to fetch parameters [{name}] from parameter store for this account."
                raise TemplateError(said) from None
            raise TemplateError(str(error)) from None
        found[parameter] = str(answer["Parameter"]["Value"])
    return found


async def _replaced(calls: AwsCalls, text: str) -> str:
    pieces, end = [], 0
    for match in _REFERENCE.finditer(text):
        reader: Callable[[AwsCalls, str], Awaitable[str]] = _secret if match[1] == "secretsmanager" else _parameter
        try:
            read = await reader(calls, match[2])
        except CallRefused as error:
            raise TemplateError(f"Could not resolve {match[0]}: {error}") from None
        pieces += [text[end : match.start()], read]
        end = match.end()
    return "".join((*pieces, text[end:]))


async def _parameter(calls: AwsCalls, reference: str) -> str:
    answer = await calls.call("ssm", "GetParameter", {"Name": reference, "WithDecryption": True})
    return str(answer["Parameter"]["Value"])


async def _secret(calls: AwsCalls, reference: str) -> str:
    """`id[:SecretString[:key[:stage[:version]]]]`, where the id may be an ARN."""
    arn = _SECRET_ARN.fullmatch(reference)
    id, rest = (arn[1], arn[2] or "") if arn else (reference.partition(":")[0], reference.partition(":")[2])
    _, key, stage, version = [*rest.split(":"), "", "", "", ""][:4]
    wanted = {"SecretId": id} | ({"VersionStage": stage} if stage else {}) | ({"VersionId": version} if version else {})
    text = str((await calls.call("secretsmanager", "GetSecretValue", wanted))["SecretString"])
    if not key:
        return text
    try:
        return str(json.loads(text)[key])
    except (ValueError, KeyError, TypeError):
        raise TemplateError(f"Could not find a value associated with JSONKey in SecretString: {key} of {id}") from None
