"""Stacks of a test: deployed from a file or a dictionary, deleted afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awsorch.cfn.transform import INLINE_BYTES
from awsorch.cli.cfn_stack import StackDeployment
from awsorch.cli.cfn_store import TemplateStore

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND")
BUCKET = "awsorch-testing"
LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedStack:
    """``outputs`` by name; ``resources``: physical ids by logical ones."""

    name: str
    id: str
    outputs: Mapping[str, str]
    resources: Mapping[str, str]


class Deployments:
    """Deploys to the cloud that boto3's clients talk to."""

    def __init__(self, stacks: Any, s3: Any) -> None:
        self._stacks = stacks
        self._s3 = s3

    def deploy(
        self,
        template: str | Path | Mapping[str, Any],
        *,
        name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> DeployedStack:
        """Create the stack, or update the one of this name, and wait. ``template`` is a file's path, or the template as
        a dictionary. Raises cfn_stack.DeploymentFailed with the resource that failed first and its reason."""
        text = json.dumps(template) if isinstance(template, Mapping) else Path(template).read_text(encoding="utf-8")
        stem = "stack" if isinstance(template, Mapping) else Path(template).stem
        chosen = name or f"{''.join(c if c.isalnum() else '-' for c in stem).strip('-')}-{uuid.uuid4().hex[:6]}"
        deployment = StackDeployment(self._stacks, chosen, LOOK_SECONDS)
        request = {
            **self._placed(text),
            "ChangeSetType": "CREATE" if deployment.find() is None else "UPDATE",
            "Capabilities": list(CAPABILITIES),
            "Parameters": [
                {"ParameterKey": key, "ParameterValue": str(value)} for key, value in (parameters or {}).items()
            ],
            "Tags": [{"Key": key, "Value": value} for key, value in (tags or {}).items()],
        }
        change_set = deployment.prepare(request)
        if change_set is not None:
            deployment.execute(change_set, lambda event: None, disable_rollback=False)
        return self._described(chosen)

    def _placed(self, text: str) -> dict[str, str]:
        if len(text.encode()) <= INLINE_BYTES:
            return {"TemplateBody": text}
        self._s3.create_bucket(Bucket=BUCKET)
        return {"TemplateURL": TemplateStore(self._s3, BUCKET).write(text)}

    def _described(self, name: str) -> DeployedStack:
        stack = self._stacks.describe_stacks(StackName=name)["Stacks"][0]
        resources = self._stacks.describe_stack_resources(StackName=name)["StackResources"]
        return DeployedStack(
            name=name,
            id=stack["StackId"],
            outputs={each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())},
            resources={each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in resources},
        )
