"""169.254.170.2, port 80, led to this agent for the containers of its host: SDKs look for a task's credentials there.

ECS's own package does so with rules of the host's firewall; here the agent does, where the settings ask for it. Rules
are in a chain of their own, which is replaced as a whole, so that a restart leaves none behind twice. They stay when
the agent ends: containers run on, and find it again when it is back at the same port.
Source: ecs-init, iptables rules; ECS developer guide, "Amazon ECS task IAM role".
"""

from awsorch.agent.environment import LINK_LOCAL
from awsorch.agent.network_commands import NetworkError, run

CHAIN = "AWSORCH-TASKS"
_WAIT = "5"
"""Seconds for which iptables waits for others that change rules."""
_NAT = ("iptables", "-w", _WAIT, "-t", "nat")


async def route(address: str, port: int, *, on_host: bool, chain: str = CHAIN, first: bool = True) -> None:
    """Lead containers on bridges, and with `on_host` the host's own network, to `address` and `port`: before whoever
    else does, or after if not `first`. Raises NetworkError."""
    rules = [
        "*nat",
        f":{chain} - [0:0]",
        f"-A {chain} -p tcp -m tcp --dport 80 -j DNAT --to-destination {address}:{port}",
        "COMMIT",
        "",
    ]
    await run("iptables-restore", "-w", _WAIT, "--noflush", given="\n".join(rules))
    for hook, wanted in (("PREROUTING", True), ("OUTPUT", on_host)):
        there = await _succeeds(*_NAT, "-C", *_jump(hook, chain))
        if wanted and not there:
            await run(*_NAT, "-I" if first else "-A", *_jump(hook, chain))
        elif there and not wanted:
            await run(*_NAT, "-D", *_jump(hook, chain))


async def unroute(chain: str = CHAIN) -> None:
    """Take the rules away. Raises NetworkError."""
    for hook in ("PREROUTING", "OUTPUT"):
        if await _succeeds(*_NAT, "-C", *_jump(hook, chain)):
            await run(*_NAT, "-D", *_jump(hook, chain))
    await run(*_NAT, "-F", chain)
    await run(*_NAT, "-X", chain)


def _jump(hook: str, chain: str) -> tuple[str, ...]:
    return (hook, "-d", f"{LINK_LOCAL}/32", "-p", "tcp", "-m", "tcp", "--dport", "80", "-j", chain)


async def _succeeds(*command: str) -> bool:
    try:
        await run(*command)
    except NetworkError:
        return False
    return True
