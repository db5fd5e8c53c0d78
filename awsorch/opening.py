"""What a controller opens as its settings say: its store, its secret, and what only a local cloud has."""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from awsorch.adapters.aws import AwsCalls
from awsorch.adapters.queue_reader import QueueReader
from awsorch.adapters.user_data import UserData, joining, no_user_data
from awsorch.cfn.ecs import EcsProvider
from awsorch.core.model import Pace
from awsorch.custom_resources.answers import HttpResponses
from awsorch.custom_resources.intake import CustomResources, Intake
from awsorch.custom_resources.journal import PARTITION, Journal
from awsorch.custom_resources.messages import Trust
from awsorch.custom_resources.worker import CustomResourceWorker
from awsorch.engine.leases import ALONE, Leases, Owner
from awsorch.engine.ports import Store
from awsorch.local.elb import LocalElb
from awsorch.local.elb_reader import ElbReader
from awsorch.local.files import write_private
from awsorch.local.stacks.clients import AwsClients
from awsorch.local.stacks.local_stacks import LocalStacks
from awsorch.local.user_data import cluster_user_data
from awsorch.settings import BadSetting, Settings
from awsorch.store.memory import MemoryStore
from awsorch.store.sqlite import SqliteStore

#: What the controller signs its own calls of the upstream with where no signature is checked; any would do.
UPSTREAM_KEYS = ("test", "test")


def open_store(settings: Settings, password: Callable[[], Awaitable[str]] | None) -> Store:
    """The store; ``password`` is that of its database, where a secret has it. Raises BadSetting."""
    if settings.store == "memory":
        return MemoryStore()
    if settings.store == "postgresql":
        try:
            from awsorch.store.postgresql import PostgresqlStore
        except ImportError as missing:
            message = f"store postgresql needs awsorch's extra: pip install 'awsorch[postgresql]' ({missing})"
            raise BadSetting(message) from missing
        return PostgresqlStore(settings.database_url, password)
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    return SqliteStore(settings.data_dir / "awsorch.db")


def owner_of(settings: Settings) -> Owner:
    """Who this process is to the controllers that share its store; alone where the store can't be shared."""
    if settings.store != "postgresql":
        return ALONE
    host = socket.gethostname()
    name = f"{host}/{os.getpid()}/{secrets.token_hex(4)}"
    return Owner(name=name, address=f"http://{host}:{settings.port}", seconds=settings.lease_seconds, patient=True)


def access_secret(settings: Settings) -> bytes:
    """What machines' keys and the ids of tasks' credentials follow from. It lives as long as the store: lost, external
    instances join anew, and containers that run do not find fresh credentials."""
    if settings.access_secret:
        return settings.access_secret.encode()
    if settings.store == "memory":
        return secrets.token_bytes()
    path = settings.data_dir / "access-secret"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        write_private(path, secrets.token_hex())
        return path.read_bytes()


def open_elb(settings: Settings) -> LocalElb | None:
    """What makes the local cloud's load balancers real; None outside a local cloud."""
    if not settings.local_dir or not settings.upstream:
        return None
    key_id, secret = next(iter(settings.access_keys.items()), UPSTREAM_KEYS)
    reader = ElbReader(url=settings.upstream, region=settings.region, access_key_id=key_id, secret_access_key=secret)
    return LocalElb(
        folder=Path(settings.local_dir), network=settings.loopback_network, region=settings.region, reader=reader
    )


def own_calls(settings: Settings, port: int) -> AwsClients:
    """Calls of this controller's own API, as a client makes them."""
    key_id, secret = next(iter(settings.access_keys.items()), UPSTREAM_KEYS)
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    return AwsClients(url=url, region=settings.region, access_key_id=key_id, secret_access_key=secret)


async def open_custom_resources(
    settings: Settings, store: Store, leases: Leases, aws: AwsCalls, port: int
) -> CustomResources | None:
    """What handles custom resources of CloudFormation stacks, by calls of this controller's own API; None where no
    queue is set. Raises StoreFailure, LeaseLost."""
    if not settings.custom_resource_queue:
        return None
    calls = own_calls(settings, port)
    journal, responses = Journal(store), HttpResponses()
    await journal.open((await leases.take(PARTITION)).epoch)
    worker = CustomResourceWorker(journal, EcsProvider(calls), responses, time.time, settings.custom_resource_roles)
    trust = Trust(topic=settings.custom_resource_topic, hosts=frozenset(settings.custom_resource_response_hosts))
    intake = Intake(trust, worker, time.time)
    reader = QueueReader(aws, settings.custom_resource_queue, "custom resources", intake.take)
    return CustomResources(worker, reader, responses.close, calls.close)


def open_stacks(settings: Settings) -> LocalStacks | None:
    """The stack engine of the local cloud, which calls AWS through the door; None outside a local cloud."""
    if not settings.local_dir or not settings.upstream or not settings.aws_endpoint:
        return None
    key_id, secret = next(iter(settings.access_keys.items()), UPSTREAM_KEYS)
    clients = AwsClients(
        url=settings.aws_endpoint, region=settings.region, access_key_id=key_id, secret_access_key=secret
    )
    folder = Path(settings.local_dir) / "controller"
    return LocalStacks(
        folder=folder,
        region=settings.region,
        account_id=settings.account_id,
        clients=clients,
        inert=settings.inert_types,
        door=settings.door_url,
    )


def user_data_of(settings: Settings) -> UserData:
    """What makes machines join. In a local cloud their agents are there, and need a cluster's name only."""
    if settings.user_data:
        return joining(settings.user_data)
    return cluster_user_data if settings.upstream else no_user_data


def pace_of(settings: Settings) -> Pace:
    """How fast clusters go about their work."""
    return Pace(
        settle_seconds=settings.settle_seconds,
        poll_seconds=settings.poll_seconds,
        idle_seconds=settings.idle_seconds,
        silence_seconds=settings.silence_seconds,
    )
