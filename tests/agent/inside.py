"""An agent in this process on the real Docker Engine, for tests that move its clock or shorten its patience."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from awsorch.agent.agent import Agent, Parts
from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.ports import host_probe
from awsorch.agent.session import open_http
from awsorch.agent.settings import load
from awsorch.agent.usage import KernelUsage
from tests.agent.backend import Backend
from tests.agent.bench import KEYS


@asynccontextmanager
async def agent_inside(
    backend: Backend, folder: Path, instance_arn: str, clock: Callable[[], float] = time.time, **environment: str
) -> AsyncIterator[None]:
    """Connected when the block begins, and stopped at its end."""
    whole = {
        "ECS_CLUSTER": "c1",
        "ECS_BACKEND_HOST": backend.url,
        "ECS_EXTERNAL": "true",
        "ECS_DATADIR": str(folder),
        "ECS_CONTAINER_STOP_TIMEOUT": "1s",
        "ECS_IMAGE_PULL_BEHAVIOR": "prefer-cached",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWSORCH_INTROSPECTION_PORT": "0",
        "AWSORCH_TASK_ENDPOINT_PORT": "0",
        "AWSORCH_INSTANCE_CPU": "65536",
        **({"DOCKER_HOST": os.environ["DOCKER_HOST"]} if "DOCKER_HOST" in os.environ else {}),
        **KEYS,
        **environment,
    }
    settings = load(whole)
    backend.next_instance_arn = instance_arn
    probe = host_probe(settings.instance.port_bind_address)
    parts = Parts(engine=DockerEngine(settings.engine), usage=KernelUsage(), probe=probe, clock=clock)
    async with open_http() as http:
        running = asyncio.create_task(Agent(settings, whole, http, parts).run())
        try:
            await backend.connected(len(backend.control_queries) + 1)
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
