"""Calls that tell of stacks and templates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from awsorch.local.stacks.engine import StackEngine
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.operations import Answer, Request
from awsorch.local.stacks.preparation import Preparation
from awsorch.local.stacks.records import Stack
from awsorch.local.stacks.template import Template, outline, parse
from awsorch.local.stacks.views import event_view, resource_view, stack_view, summary_view, template_summary

_PAGE = 100
_EMPTY = Template(
    text="",
    description="",
    parameters={},
    mappings={},
    conditions={},
    resources={},
    outputs={},
    rules={},
    metadata={},
    transforms=(),
)


class Readings:
    """Operations that change nothing."""

    def __init__(self, engine: StackEngine, preparation: Preparation) -> None:
        self._engine = engine
        self._preparation = preparation

    async def describe_stacks(self, request: Request) -> Answer:
        """DescribeStacks: one by name or id, or all that are there."""
        if request.get("StackName"):
            stacks = [self._stack(request)]
        else:
            stacks = [each for each in self._engine.store.stacks() if each.status != "DELETE_COMPLETE"]
        page, token = _page(stacks, request)
        return {"Stacks": [stack_view(each, _template_of(each)) for each in page], **token}

    async def list_stacks(self, request: Request) -> Answer:
        """ListStacks, deleted ones too."""
        wanted = set(request.get("StackStatusFilter", ()))
        stacks = [each for each in self._engine.store.stacks() if not wanted or each.status in wanted]
        page, token = _page(stacks, request)
        return {"StackSummaries": [summary_view(each) for each in page], **token}

    async def describe_stack_events(self, request: Request) -> Answer:
        """DescribeStackEvents, newest first."""
        if not request.get("StackName"):
            raise StackRefused("StackName must be specified")
        page, token = _page(self._engine.store.events(self._stack(request).id), request)
        return {"StackEvents": [event_view(each) for each in page], **token}

    async def describe_stack_resource(self, request: Request) -> Answer:
        """DescribeStackResource."""
        stack, name = self._stack(request), request["LogicalResourceId"]
        resource = self._engine.store.resources(stack.id).get(name)
        if resource is None:
            raise StackRefused(f"Resource {name} does not exist for stack {stack.name}")
        return {"StackResourceDetail": resource_view(stack, resource, "LastUpdatedTimestamp")}

    async def describe_stack_resources(self, request: Request) -> Answer:
        """DescribeStackResources: of a stack, or of the stack that has a physical resource."""
        if "StackName" in request:
            stacks = [self._stack(request)]
        else:
            stacks = [each for each in self._engine.store.stacks() if each.status != "DELETE_COMPLETE"]
        physical, logical = request.get("PhysicalResourceId"), request.get("LogicalResourceId")
        found = [(each, resource) for each in stacks for resource in self._engine.store.resources(each.id).values()]
        if physical is not None:
            owners = {stack.id for stack, resource in found if resource.physical_id == physical}
            if not owners:
                raise StackRefused(f"Stack for {physical} does not exist")
            found = [(stack, resource) for stack, resource in found if stack.id in owners]
        views = [resource_view(stack, each) for stack, each in found if logical in (None, each.logical_id)]
        return {"StackResources": views}

    async def list_stack_resources(self, request: Request) -> Answer:
        """ListStackResources."""
        stack = self._stack(request)
        page, token = _page(list(self._engine.store.resources(stack.id).values()), request)
        views = [resource_view(stack, each, "LastUpdatedTimestamp") for each in page]
        return {"StackResourceSummaries": views, **token}

    async def get_template(self, request: Request) -> Answer:
        """GetTemplate, of a stack or of a change set."""
        stack = self._stack(request)
        wanted = stack.operation.wanted if stack.operation and not stack.wanted.template else stack.wanted
        for change_set in self._engine.store.change_sets(stack.id):
            if request.get("ChangeSetName") in (change_set.id, change_set.name):
                wanted = change_set.wanted
        is_original = request.get("TemplateStage", "Processed") == "Original"
        text = (wanted.original or wanted.template) if is_original else wanted.template
        return {"TemplateBody": text, "StagesAvailable": ["Original", "Processed"]}

    async def get_template_summary(self, request: Request) -> Answer:
        """GetTemplateSummary, of a text or of a stack."""
        template = _template_of(self._stack(request)) if "StackName" in request else await self._read(request)
        return template_summary(template)

    async def validate_template(self, request: Request) -> Answer:
        """ValidateTemplate."""
        summary = template_summary(await self._read(request))
        names = ("ParameterKey", "DefaultValue", "NoEcho", "Description")
        parameters = [{name: each[name] for name in names} for each in summary["Parameters"]]
        return {**summary, "Parameters": parameters}

    async def list_exports(self, request: Request) -> Answer:
        """ListExports."""
        found = sorted(self._engine.surveyor.exports().items())
        page, token = _page(found, request)
        exports = [{"ExportingStackId": stack.id, "Name": name, "Value": value} for name, (stack, value) in page]
        return {"Exports": exports, **token}

    async def list_imports(self, request: Request) -> Answer:
        """ListImports."""
        name = request["ExportName"]
        if name not in self._engine.surveyor.exports():
            raise StackRefused(f"Export '{name}' does not exist.")
        importers = self._engine.surveyor.importers(name)
        if not importers:
            raise StackRefused(f"Export '{name}' is not imported by any stack.")
        return {"Imports": importers}

    async def _read(self, request: Request) -> Template:
        return await self._preparation.declared(request)

    def _stack(self, request: Request) -> Stack:
        name = request.get("StackName", "")
        stack = self._engine.store.find(name)
        if stack is None:
            raise StackRefused(f"Stack with id {name} does not exist")
        return stack


def _template_of(stack: Stack) -> Template:
    """The template that a stack has or is being given; an empty one while it is under review."""
    operation = stack.operation
    wanted = operation.wanted if operation and not operation.turned_back else stack.wanted
    if not wanted.template and operation:
        wanted = operation.wanted
    if not wanted.template:
        return _EMPTY
    template = parse(wanted.template)
    return replace(template, transforms=outline(wanted.original).transforms) if wanted.original else template


def _page(everything: Sequence[Any], request: Request) -> tuple[Sequence[Any], dict[str, str]]:
    """A page of 100, and the token of the next one."""
    token = str(request.get("NextToken") or "0")
    if not token.isdecimal():
        raise StackRefused(f"NextToken {token!r} is none that was answered.")
    start = int(token)
    more = {"NextToken": str(start + _PAGE)} if len(everything) > start + _PAGE else {}
    return everything[start : start + _PAGE], more
