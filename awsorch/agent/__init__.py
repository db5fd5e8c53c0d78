"""The program on each container instance: it joins a cluster and runs the tasks that ECS places there.

It speaks the protocols of the Amazon ECS agent (ECS's HTTP API, ACS, TCS) and imports nothing of the project
but `awsorch.wire`, so it works with any control plane that speaks them too.
"""

from importlib.metadata import PackageNotFoundError, version


def _release() -> str:
    try:
        return version("awsorch")
    except PackageNotFoundError:  # it runs from its sources
        return "0"


RELEASE = _release()
"""Of awsorch."""

AGENT_VERSION = "1.105.1"
"""The release of the official agent whose behaviour and protocol this one follows; sent as `agentVersion`."""

AGENT_HASH = f"awsorch-{RELEASE}"
"""Sent as `agentHash`, where the official agent has the commit it was built from: what this agent really is."""
