"""iproute2 and iptables, as this agent runs them. What goes wrong is one exception, with the command's words."""

import asyncio
import json
from pathlib import Path
from typing import Any


class NetworkError(Exception):
    """A command failed, or is not there; the text says which and why, `code` is its exit code."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


async def run(*command: str, given: str = "") -> bytes:
    """Run a short command, with text for it to read; what it printed. Raises NetworkError."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise NetworkError(f"{command[0]}: {error}") from error
    try:
        printed, said = await process.communicate(given.encode())
    finally:
        if process.returncode is None:  # nobody waits for it any more
            process.kill()
            await process.wait()
    if process.returncode:
        words = said.decode("utf-8", "replace").strip()
        raise NetworkError(f"{' '.join(command)}: {words}", process.returncode)
    return printed


def inside(process_id: int) -> tuple[str, ...]:
    """The words before a command that is to run in the network of a process."""
    return ("nsenter", f"--net=/proc/{process_id}/ns/net", "--")


def has_ipv6() -> bool:
    """Whether the kernel has IPv6."""
    return Path("/proc/net/if_inet6").exists()


async def links(*where: str) -> dict[str, str]:
    """The names of the network devices, by hardware address; `where` as `inside` says. Raises NetworkError."""
    found: list[dict[str, Any]] = json.loads(await run(*where, "ip", "-json", "link", "show") or b"[]")
    return {str(each.get("address", "")).lower(): str(each["ifname"]) for each in found}
