"""Stands in for AWS's session-manager-plugin under the AWS CLI: the same six arguments and protocol, by the client of
`awsorch exec`. What it is given to read goes to the command."""

from __future__ import annotations

import asyncio
import json
import re
import sys

from awsorch.cli.session_client import SessionClient

TARGET = re.compile(r"ecs:[A-Za-z0-9_-]+_[0-9a-f]{32}_[0-9a-f]{32}-[0-9]+|ecs:[A-Za-z0-9_-]+_[0-9a-f]{32}_[0-9a-f]{64}")


async def hold(url: str, token: str, given: bytes) -> None:
    def show(printed: bytes) -> None:
        sys.stdout.buffer.write(printed)
        sys.stdout.buffer.flush()

    ready = asyncio.Event()
    client = SessionClient(show, ready.set)

    async def talk() -> None:
        await ready.wait()
        await client.resize(80, 24)
        await client.type(given)

    talking = asyncio.create_task(talk())
    await client.run(url, token)
    talking.cancel()


def main(arguments: list[str]) -> int:
    """The AWS CLI calls it without any first, to see whether it is there."""
    if not arguments:
        return 0
    session, region, operation, _profile, parameters, endpoint = arguments
    said = json.loads(session)
    assert set(said) == {"sessionId", "streamUrl", "tokenValue"}, said
    assert (region, operation, endpoint.startswith("http://")) == ("us-east-1", "StartSession", True)
    assert TARGET.fullmatch(json.loads(parameters)["Target"]), parameters
    asyncio.run(hold(said["streamUrl"], said["tokenValue"], sys.stdin.buffer.read()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
