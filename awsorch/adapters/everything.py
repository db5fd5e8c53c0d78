"""All that one controller calls AWS with, made and closed together."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from awsorch.adapters.alarms import CloudWatchAlarms
from awsorch.adapters.aws import Aws
from awsorch.adapters.caller_identity import CallerIdentities
from awsorch.adapters.catalogue import PricedTypes
from awsorch.adapters.channel_keys import ChannelKeys
from awsorch.adapters.database_password import DatabasePassword
from awsorch.adapters.group_reader import GroupReader
from awsorch.adapters.instance_groups import AutoScalingGroups
from awsorch.adapters.load_balancers import ElasticLoadBalancing, Post
from awsorch.adapters.machines import Ec2Machines
from awsorch.adapters.metrics import CloudWatchMetrics
from awsorch.adapters.notices import Notices
from awsorch.adapters.price_list import pricing_region
from awsorch.adapters.session_logs import SessionLogs
from awsorch.adapters.task_attachments import Ec2Attachments
from awsorch.adapters.task_roles import AssumedRoles
from awsorch.adapters.user_data import UserData


class Adapters:
    """``post`` takes events for a cluster, ``clusters`` names all; ``user_data`` makes machines join one."""

    def __init__(
        self,
        *,
        region: str,
        endpoint: str | None,
        post: Post,
        clusters: Callable[[], Iterable[str]],
        user_data: UserData,
        clock: Callable[[], float],
    ) -> None:
        self.aws = Aws(region=region, endpoint=endpoint)
        self._pricing = Aws(region=pricing_region(region), endpoint=endpoint)
        self._post = post
        self._clusters = clusters
        self._notices: Notices | None = None
        self.catalogue = PricedTypes(aws=self.aws, pricing=self._pricing, region=region, clock=clock)
        self.load_balancing = ElasticLoadBalancing(self.aws, post)
        self.alarms = CloudWatchAlarms(self.aws, post)
        self.groups = AutoScalingGroups(self.aws, post, GroupReader(self.aws, self.catalogue))
        self.machines = Ec2Machines(self.aws, post, user_data)
        self.metrics = CloudWatchMetrics(self.aws)
        self.session_logs = SessionLogs(self.aws)
        self.channel_keys = ChannelKeys(self.aws)
        self.attachments = Ec2Attachments(self.aws, post)
        self.task_roles = AssumedRoles(self.aws, clock)
        self._callers: CallerIdentities | None = None

    def callers(self, sts: str, endpoint: str | None) -> CallerIdentities:
        """Who asks STS, at its URL, or what listens at ``endpoint`` in its place; for one caller."""
        self._callers = CallerIdentities(self.aws, sts=sts, endpoint=endpoint)
        return self._callers

    def database_password(self, secret_id: str) -> DatabasePassword | None:
        """What asks for the password that a secret has; None where none has it."""
        return DatabasePassword(self.aws, secret_id) if secret_id else None

    def read_notices(self, queue: str) -> None:
        """Begin to read EC2's notices from a queue, by its URL."""
        self._notices = Notices(self.aws, queue, self._post, self._clusters)
        self._notices.start()

    async def stop_notices(self) -> None:
        """Read no more notices."""
        if self._notices is not None:
            await self._notices.close()

    async def close(self) -> None:
        """Stop calling AWS. What was under way may or may not have been done."""
        await self.stop_notices()
        callers = (self.load_balancing, self.alarms, self.groups, self.machines, self.metrics, self.catalogue)
        for each in (*callers, self.attachments):
            await each.close()
        if self._callers is not None:
            await self._callers.close()
        await self.aws.close()
        await self._pricing.close()
