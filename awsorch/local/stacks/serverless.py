"""`AWS::Serverless-2016-10-31`: SAM's own translator makes a plain template of it.

Source: AWS SAM specification; the library aws-sam-translator, which CloudFormation itself runs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from awsorch.local.stacks.errors import StackRefused

NAME = "AWS::Serverless-2016-10-31"
#: Policies of AWS's own that a template may name without their ARN.
_MANAGED = "arn:aws:iam::aws:policy/"
_ROLES = ("AWSLambdaBasicExecutionRole", "AWSLambdaVPCAccessExecutionRole", "AWSXRayDaemonWriteAccess")


def translate(document: Mapping[str, Any], parameters: Mapping[str, Any], region: str) -> dict[str, Any]:
    """The template as CloudFormation knows it. Raises StackRefused."""
    # It takes a second to import, and few templates need it.
    import boto3
    from samtranslator.model.exceptions import InvalidDocumentException
    from samtranslator.parser.parser import Parser
    from samtranslator.translator.translator import Translator

    policies = {name: f"{_MANAGED}service-role/{name}" for name in _ROLES}
    translator = Translator(policies, Parser(), boto_session=boto3.session.Session(region_name=region))
    values = {**parameters, "AWS::Region": region, "AWS::Partition": "aws"}
    try:
        made: dict[str, Any] = translator.translate(copy.deepcopy(dict(document)), values)
    except InvalidDocumentException as error:
        said = "; ".join(str(cause.message) for cause in error.causes)
        why = f"Invalid Serverless Application Specification document. {said}"
        raise StackRefused(f"Transform {NAME} failed with: {why}") from None
    made.pop("Globals", None)
    return made
