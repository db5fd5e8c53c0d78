"""What a template's functions look at outside of it, as it is now."""

from __future__ import annotations

from awsorch.cfn.contract import AwsCalls, CallRefused
from awsorch.local.stacks.errors import StackRefused
from awsorch.local.stacks.intrinsics import Surroundings
from awsorch.local.stacks.parameters import typed
from awsorch.local.stacks.records import Stack, Wanted
from awsorch.local.stacks.store import StackStore
from awsorch.local.stacks.template import Template


class Surveyor:
    """Looks at the account, the region and the other stacks."""

    def __init__(self, store: StackStore, calls: AwsCalls, region: str, account_id: str) -> None:
        self._store = store
        self._calls = calls
        self.region = region
        self.account_id = account_id

    async def survey(self, stack: Stack, wanted: Wanted, template: Template) -> Surroundings:
        """What this template finds. Raises StackRefused where the region's zones can't be had."""
        return Surroundings(
            parameters=typed(template, wanted.parameters, wanted.resolved),
            pseudo={
                "AWS::AccountId": self.account_id,
                "AWS::NotificationARNs": list(stack.notification_arns),
                "AWS::Partition": "aws",
                "AWS::Region": self.region,
                "AWS::StackId": stack.id,
                "AWS::StackName": stack.name,
                "AWS::URLSuffix": "amazonaws.com",
            },
            zones=await self._zones() if "GetAZs" in template.text else (),
            exports={name: value for name, (_, value) in self.exports().items()},
        )

    def exports(self) -> dict[str, tuple[Stack, str]]:
        """Every export: its name to the stack that has it and the value."""
        return {
            output.export: (stack, output.value)
            for stack in self._store.stacks()
            if stack.status != "DELETE_COMPLETE"
            for output in stack.outputs
            if output.export
        }

    def importers(self, export: str) -> list[str]:
        """The names of the stacks that use an export."""
        there = (stack for stack in self._store.stacks() if stack.status != "DELETE_COMPLETE")
        return sorted(stack.name for stack in there if export in stack.imports)

    async def _zones(self) -> tuple[str, ...]:
        try:
            answer = await self._calls.call("ec2", "DescribeAvailabilityZones", {})
        except CallRefused as error:
            raise StackRefused(str(error)) from None
        return tuple(sorted(each["ZoneName"] for each in answer["AvailabilityZones"]))
