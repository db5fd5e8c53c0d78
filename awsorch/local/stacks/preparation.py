"""What a call asks a stack to be, checked before anything is begun."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import replace
from typing import Any

from awsorch.cfn.contract import AwsCalls, CallRefused
from awsorch.local.stacks.custom import TYPE as CUSTOM
from awsorch.local.stacks.dynamic import ssm_values
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.group_updates import check_policy
from awsorch.local.stacks.nested import OUTPUTS
from awsorch.local.stacks.nested import TYPE as NESTED
from awsorch.local.stacks.parameters import Given, settle, ssm_names, typed
from awsorch.local.stacks.records import Stack, Wanted
from awsorch.local.stacks.references import Reference, references_in
from awsorch.local.stacks.rules import check_rules
from awsorch.local.stacks.s3_urls import bucket_and_key
from awsorch.local.stacks.schemas import Schemas
from awsorch.local.stacks.stack_policy import read_policy
from awsorch.local.stacks.template import Template, outline, parse
from awsorch.local.stacks.transforms import INLINE, Macros, Transforms, needs_transforms, no_macros

MOST_TEXT = 1024 * 1024
MOST_BODY = 51_200
"""Bytes of a template in the call itself."""
_NAMED, EXPANDS = "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"


class Preparation:
    """Reads templates and parameters of calls. Methods raise StackRefused."""

    def __init__(
        self, calls: AwsCalls, schemas: Schemas, types: Container[str], *, region: str, account_id: str
    ) -> None:
        self._calls = calls
        self._schemas = schemas
        self._types = types
        self._place = {
            "AWS::AccountId": account_id,
            "AWS::Partition": "aws",
            "AWS::Region": region,
            "AWS::URLSuffix": "amazonaws.com",
        }
        self.macros: Macros = no_macros
        """Carries out macros; whoever knows some sets it."""

    async def template(self, request: Mapping[str, Any], stack: Stack | None = None) -> Template:
        """The template that a call brings, or the stack's, with its transforms carried out."""
        text = await self._text(request, stack)
        if not needs_transforms(text):
            return parse(text)
        declared = outline(text)
        values = settle(declared, _given(request), stack.wanted.parameters if stack is not None else {})
        resolved = await ssm_values(self._calls, ssm_names(declared, values))
        pseudo = {**self._place, "AWS::StackName": request.get("StackName", "")}
        transforms = Transforms(text, typed(declared, values, resolved), pseudo, self._fetch_snippet, self.macros)
        made = parse(await transforms.carried_out())
        return replace(made, original=text, transforms=declared.transforms or (INLINE,))

    async def declared(self, request: Mapping[str, Any]) -> Template:
        """The template that a call brings, with its transforms not carried out."""
        text = await self._text(request, None)
        return outline(text) if needs_transforms(text) else parse(text)

    async def _text(self, request: Mapping[str, Any], stack: Stack | None) -> str:
        if request.get("UsePreviousTemplate") and stack is not None and stack.wanted.template:
            return stack.wanted.original or stack.wanted.template
        text = request.get("TemplateBody")
        if text is not None and len(text.encode()) > MOST_BODY:
            raise StackRefused(
                "1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have "
                f"length less than or equal to {MOST_BODY}; a larger template is given by TemplateURL"
            )
        if text is None and request.get("TemplateURL"):
            text = await self._fetch(str(request["TemplateURL"]))
        if not text:
            raise StackRefused("Either Template URL or Template Body must be specified.")
        if len(text) > MOST_TEXT:
            raise StackRefused(f"Template may not exceed {MOST_TEXT} bytes in size.")
        return str(text)

    async def policy(self, request: Mapping[str, Any], name: str = "StackPolicy") -> str:
        """The stack policy that a call brings by `<name>Body` or `<name>URL`, checked; "" for none."""
        text, url = request.get(f"{name}Body"), request.get(f"{name}URL")
        if text is not None and url is not None:
            raise StackRefused(f"You cannot specify both {name}Body and {name}URL.")
        if text is None and url is not None:
            text = await self._fetch(str(url), f"{name}URL")
        if text is not None:
            read_policy(str(text))
        return str(text or "")

    async def wanted(self, request: Mapping[str, Any], template: Template, stack: Stack | None) -> Wanted:
        """What the stack is to be."""
        capabilities = tuple(request.get("Capabilities", ()))
        needed, _ = template.capabilities()
        missing = [needed] if needed and needed not in capabilities and _NAMED not in capabilities else []
        # A change set shows what transforms make, which is acknowledgement enough.
        if template.transforms and "ChangeSetName" not in request and EXPANDS not in capabilities:
            missing.append(EXPANDS)
        if missing:
            raise StackRefused(f"Requires capabilities : [{', '.join(missing)}]", "InsufficientCapabilitiesException")
        self._check_types(template)
        previous = stack.wanted.parameters if stack is not None else {}
        values = settle(template, _given(request), previous)
        resolved = await ssm_values(self._calls, ssm_names(template, values))
        named = {"AWS::StackName": request.get("StackName", "")}
        await check_rules(template, values, resolved, {**self._place, **named}, self._calls)
        tags = request.get("Tags")
        kept = stack.wanted.tags if stack is not None and tags is None else {}
        return Wanted(
            template=template.text,
            original=template.original,
            parameters=values,
            resolved=resolved,
            tags={each["Key"]: each.get("Value", "") for each in tags} if tags is not None else kept,
            capabilities=capabilities,
        )

    def _check_types(self, template: Template) -> None:
        unknown = [type for type in template.types() if type not in self._types]
        if unknown:
            raise TemplateError(f"Template format error: Unrecognized resource types: [{', '.join(unknown)}]")
        for name, resource in template.resources.items():
            check_policy(name, resource)
            is_custom = resource["Type"] == CUSTOM  # whose properties are whatever its maker wants
            problems = [] if is_custom else self._schemas.problems(resource["Type"], resource.get("Properties") or {})
            if problems:
                said = ", ".join(problems)
                raise TemplateError(f"Properties validation failed for resource {name} with message:[{said}]")
        for reference in references_in([dict(template.resources), dict(template.outputs)]):
            if reference.kind == "attribute" and reference.attribute:
                self._check_attribute(template.resources[reference.name]["Type"], reference)

    def _check_attribute(self, type: str, reference: Reference) -> None:
        known = self._schemas.attributes(type) if type != CUSTOM else frozenset()
        is_output = type == NESTED and reference.attribute.startswith(OUTPUTS)
        if known and reference.attribute not in known and not is_output:
            raise TemplateError(
                f"Template error: resource {reference.name} does not support attribute type {reference.attribute} in "
                "Fn::GetAtt"
            )

    async def _fetch(self, url: str, member: str = "TemplateURL") -> str:
        """A text from S3, by any of the forms of its URL."""
        place = bucket_and_key(url)
        if place is None:
            raise StackRefused(f"{member} must reference a valid S3 object to which you have access: {url}")
        bucket, key = place
        try:
            answer = await self._calls.call("s3", "GetObject", {"Bucket": bucket, "Key": key})
            body: bytes = await answer["Body"].read()
        except CallRefused as error:
            raise StackRefused(f"S3 error: {error}") from None
        return body.decode("utf-8", "replace")

    async def _fetch_snippet(self, url: str) -> str:
        return await self._fetch(url, "The location parameter")


def _given(request: Mapping[str, Any]) -> dict[str, Given]:
    return {
        each["ParameterKey"]: Given(value=each.get("ParameterValue"), use_previous=bool(each.get("UsePreviousValue")))
        for each in request.get("Parameters", ())
    }
