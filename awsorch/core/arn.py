"""Amazon Resource Names of ECS, written and read. Source: Service Authorization Reference, Amazon ECS."""

from __future__ import annotations

from dataclasses import dataclass

from awsorch.core.errors import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Where resources live: the first members of each of their ARNs."""

    region: str
    account: str
    partition: str = "aws"

    def arn(self, resource: str) -> str:
        """``arn:aws:ecs:<region>:<account>:<resource>``."""
        return f"arn:{self.partition}:ecs:{self.region}:{self.account}:{resource}"

    def cluster(self, name: str) -> str:
        """ARN of a cluster."""
        return self.arn(f"cluster/{name}")

    def task(self, cluster: str, task_id: str) -> str:
        """ARN of a task (32 hex digits)."""
        return self.arn(f"task/{cluster}/{task_id}")

    def container(self, cluster: str, task_id: str, container_id: str) -> str:
        """ARN of a container of a task (a UUID with dashes)."""
        return self.arn(f"container/{cluster}/{task_id}/{container_id}")

    def container_instance(self, cluster: str, instance_id: str) -> str:
        """ARN of a container instance (32 hex digits)."""
        return self.arn(f"container-instance/{cluster}/{instance_id}")

    def service(self, cluster: str, name: str) -> str:
        """ARN of a service, long form."""
        return self.arn(f"service/{cluster}/{name}")

    def capacity_provider(self, name: str) -> str:
        """ARN of a capacity provider."""
        return self.arn(f"capacity-provider/{name}")

    def task_definition(self, family: str, revision: int) -> str:
        """ARN of a revision."""
        return self.arn(f"task-definition/{family}:{revision}")

    @property
    def root(self) -> str:
        """ARN of the account itself, the principal of account-wide settings."""
        return f"arn:{self.partition}:iam::{self.account}:root"


@dataclass(frozen=True, slots=True, kw_only=True)
class Arn:
    """An ECS ARN taken apart: ``kind`` is "task", "cluster"…; ``path`` what follows it, split at "/"."""

    partition: str
    region: str
    account: str
    kind: str
    path: tuple[str, ...]


def parse_arn(text: str) -> Arn | None:
    """The parts of an ECS ARN, or None where the text is not one."""
    parts = text.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != "ecs":
        return None
    kind, slash, rest = parts[5].partition("/")
    if not slash or not rest:
        return None
    return Arn(partition=parts[1], region=parts[3], account=parts[4], kind=kind, path=tuple(rest.split("/")))


class Elsewhere(Refusal):
    """An ARN of another region or account, in ECS's words: an InvalidParameterException."""

    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameterException", message)


def require_here(arn: Arn, scope: Scope) -> None:
    """Raises Elsewhere for an ARN of another region or account."""
    if (arn.partition, arn.region) != (scope.partition, scope.region):
        raise Elsewhere("Invalid Region in ARN")
    if arn.account != scope.account:
        raise Elsewhere(f"Identifier is for {arn.account}. Your accountId is {scope.account}")
