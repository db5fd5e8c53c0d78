"""Namespaces that play machines, and the switch between them. Needs root."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from awsorch.agent.network_commands import has_ipv6
from awsorch.local import imds, netns, netns_router, netns_switch
from awsorch.local.addresses import claim_network
from awsorch.local.interfaces import SeenInterface
from awsorch.local.netns import HOLDER, Space, run, space_of, what_is_missing
from awsorch.local.netns_switch import Switch, is_free, prefix_beside
from awsorch.local.security_groups import Rule
from awsorch.local.supervisor import ChildSpec, Supervisor
from tests.local.processes import is_gone, soon

ENVIRONMENT = {"PATH": os.environ["PATH"]}
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=float(sys.argv[3])) as one:
        print(one.makefile().read())
except OSError:
    print("nobody")
"""
LISTEN = """
import socket
with socket.create_server(("", 80)) as server:
    print("listening", flush=True)
    while True:
        server.accept()[0].close()
"""

Scene = Callable[[Supervisor, Switch], Awaitable[None]]


@contextmanager
def a_network(name: str) -> Iterator[str]:
    """The prefix of a network that no cloud and no other test on this machine has meanwhile."""
    loopback, claim = claim_network(None, name, lambda each: is_free(prefix_beside(each)))
    with claim:
        yield prefix_beside(loopback)


def on_a_switch(scene: Scene, logs: Path) -> None:
    async def work(prefix: str) -> None:
        supervisor = Supervisor(logs)
        switch = Switch(supervisor, prefix, ENVIRONMENT)
        try:
            await switch.start()
            await scene(supervisor, switch)
        finally:
            await supervisor.close()

    with a_network(str(logs)) as prefix:
        asyncio.run(asyncio.wait_for(work(prefix), 60))


async def a_host(supervisor: Supervisor, switch: Switch, number: int) -> Space:
    """A host with the address .1.number."""
    name = f"host{number}"
    await supervisor.start(ChildSpec(name=name, command=HOLDER, environment=ENVIRONMENT))
    space = await space_of(supervisor.process_id(name) or 0)
    await switch.plug(space, name, f"{switch.prefix}.1.{number}")
    return space


async def ask(space: Space | None, address: str, port: int, patience: float = 5.0) -> str:
    """What a process in a namespace (None: this machine) hears at an address."""
    before = space.enter("net") if space is not None else ()
    command = (*before, sys.executable, "-c", ASK, address, str(port), str(patience))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    heard, _ = await process.communicate()
    return heard.decode().strip()


def serving(listener: socket.socket) -> Awaitable[asyncio.Server]:
    """Tells each who connects to this socket their address."""

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(writer.get_extra_info("peername")[0].encode())
        writer.close()

    return asyncio.start_server(tell, sock=listener)


def exists(device: str) -> bool:
    return Path(f"/sys/class/net/{device}").exists()


@contextmanager
def a_device(peer: tuple[str, ...] = ()) -> Iterator[str]:
    """A device of this machine that leads elsewhere: to its `peer`, as `ip link` has it."""
    name = f"else{os.getpid()}"
    subprocess.run(("ip", "link", "add", name, "type", "veth", "peer", *peer), check=True)
    try:
        yield name
    finally:
        subprocess.run(("ip", "link", "delete", name), check=True)


def test_hosts_reach_this_machine_where_it_listens_for_them(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        first, second = await a_host(supervisor, switch, 1), await a_host(supervisor, switch, 2)
        async with await serving(switch.listen(0)) as server, await serving(switch.listen(imds.PORT)):
            port = server.sockets[0].getsockname()[1]
            assert await ask(first, switch.address, port) == f"{switch.prefix}.1.1"
            assert await ask(second, switch.address, port) == f"{switch.prefix}.1.2"
            assert await ask(first, "169.254.169.254", 80) == f"{switch.prefix}.1.1", "where EC2 has instance metadata"

    on_a_switch(scene, tmp_path)


def test_what_comes_in_from_elsewhere_is_not_heard_there(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        await supervisor.start(ChildSpec(name="neighbour", command=HOLDER, environment=ENVIRONMENT))
        neighbour = await space_of(supervisor.process_id("neighbour") or 0)
        with a_network("elsewhere") as prefix, a_device(("name", "eth0", "netns", str(neighbour.holder))) as device:
            await run("ip", "address", "add", f"{prefix}.4.1/24", "dev", device)
            await run("ip", "link", "set", device, "up")
            there = (f"address add {prefix}.4.2/24 dev eth0", "link set eth0 up", f"route add default via {prefix}.4.1")
            await run(*neighbour.enter("net"), "ip", "-batch", "-", lines=there)
            with socket.create_server((f"{prefix}.4.1", 0)) as anybody:
                async with await serving(anybody), await serving(switch.listen(0)) as server:
                    assert await ask(neighbour, f"{prefix}.4.1", anybody.getsockname()[1]) == f"{prefix}.4.2"
                    assert await ask(neighbour, switch.address, server.sockets[0].getsockname()[1], 0.5) == "nobody"

    on_a_switch(scene, tmp_path)


def test_hosts_reach_each_other_until_a_cable_is_pulled(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        first, second = await a_host(supervisor, switch, 1), await a_host(supervisor, switch, 2)
        server = await asyncio.create_subprocess_exec(
            *(*first.enter("net"), sys.executable, "-c", LISTEN), stdout=asyncio.subprocess.PIPE, env=ENVIRONMENT
        )
        assert server.stdout is not None
        await server.stdout.readline()
        address = f"{switch.prefix}.1.1"
        for source in (None, second):
            assert await ask(source, address, 80) == "", source
        await switch.cut("host1")
        for source in (None, second):
            assert await ask(source, address, 80, 0.5) == "nobody", source
        await switch.uncut("host1")
        while await ask(second, address, 80) == "nobody":
            pass  # the kernel tells the switch in its own time that the cable is there again
        server.kill()
        await server.wait()

    on_a_switch(scene, tmp_path)


def test_an_interface_is_guarded_from_the_moment_it_is_there(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        owner, other = await a_host(supervisor, switch, 1), await a_host(supervisor, switch, 2)
        address, router = f"{switch.prefix}.64.7", switch.router
        seen = SeenInterface(id="eni-0123456789abcdef0", index=1, mac="0a:00:00:00:00:01", address=address)
        await router.guard(seen)
        await router.connect(owner, seen)
        up = (f"address add {address}/32 dev ens6", "link set ens6 up")
        await run(*owner.enter("net"), "ip", "-batch", "-", lines=up)
        listening = (*owner.enter("net"), sys.executable, "-u", "-c", LISTEN)
        listener = await asyncio.create_subprocess_exec(*listening, stdout=asyncio.subprocess.PIPE)
        try:
            assert listener.stdout is not None
            await listener.stdout.readline()
            assert await ask(other, address, 80, 0.5) == "nobody", "it has no rule that lets anybody in"
            await router.guard(replace(seen, rules=(Rule(ingress=True, network=f"{switch.prefix}.1.2"),)))
            assert await ask(other, address, 80) == "", "it is answered"
        finally:
            listener.kill()
            await listener.wait()

    on_a_switch(scene, tmp_path)


@pytest.mark.parametrize("there", [True, False])
def test_this_machine_has_a_way_to_an_interfaces_ipv6_address_as_long_as_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    there = there and has_ipv6()
    monkeypatch.setattr(netns_router, "has_ipv6", lambda: there)

    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        owner, router = await a_host(supervisor, switch, 1), switch.router
        seen = SeenInterface(
            id="eni-0123456789abcdef0",
            index=1,
            mac="0a:00:00:00:00:01",
            address=f"{switch.prefix}.64.7",
            address_6="2001:db8::7",
        )

        def leads_there() -> bool:
            command = ("ip", "-6", "route", "show", "2001:db8::7")
            return switch.device in subprocess.run(command, check=True, capture_output=True, text=True).stdout

        await router.guard(seen)
        await router.connect(owner, seen)
        assert leads_there() is there
        await router.disconnect(seen)
        assert not leads_there()

    on_a_switch(scene, tmp_path)


def test_all_in_a_host_ends_with_it_and_its_port_can_be_used_again(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        host = await a_host(supervisor, switch, 1)
        command = (*host.enter("net", "mnt", "pid"), "sh", "-c", "trap '' TERM; echo up; while :; do sleep 1000; done")
        inside = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        assert inside.stdout is not None
        assert await inside.stdout.readline() == b"up\n"

        await supervisor.kill("host1")
        await host.gone()

        assert await inside.stdout.read() == b"", "what holds its output has ended"
        await inside.wait()
        await switch.unplug("host1")
        await a_host(supervisor, switch, 1)
        devices.append(switch.device)
        assert exists(switch.device)

    devices: list[str] = []
    on_a_switch(scene, tmp_path)
    asyncio.run(soon(lambda: not any(map(exists, devices))))


def test_what_is_hidden_from_a_host_is_there_for_others(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        host = await a_host(supervisor, switch, 1)
        (tmp_path / "machine").mkdir()
        (tmp_path / "machine" / "socket").touch()
        await host.hide(tmp_path / "machine")
        await run(*host.enter("mnt"), "touch", str(tmp_path / "machine" / "own"))
        assert [each.name for each in (tmp_path / "machine").iterdir()] == ["socket"]
        inside = Path(f"/proc/{host.first}/root{tmp_path}/machine")
        assert [each.name for each in inside.iterdir()] == ["own"]

    on_a_switch(scene, tmp_path)


def test_nothing_is_left_of_a_cloud_that_is_killed(tmp_path: Path) -> None:
    script = f"""
import asyncio, os, sys
from pathlib import Path
from tests.local.test_netns import a_host, on_a_switch
async def scene(supervisor, switch):
    host = await a_host(supervisor, switch, 1)
    print(host.first, switch.device, flush=True)
    await asyncio.Event().wait()
on_a_switch(scene, Path({str(tmp_path)!r}))
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as cloud:
        assert cloud.stdout is not None
        first, device = cloud.stdout.readline().decode().split()
        assert exists(device)
        cloud.send_signal(signal.SIGKILL)
        asyncio.run(soon(lambda: is_gone(int(first)) and not exists(device)))


def test_a_switch_that_ended_is_told_of_and_not_worked_around(tmp_path: Path) -> None:
    async def scene(supervisor: Supervisor, switch: Switch) -> None:
        await supervisor.kill(netns_switch.CHILD)
        with pytest.raises(OSError, match="network of the local instances is gone: stop the local cloud"):
            await switch.cut("host1")

    on_a_switch(scene, tmp_path)


def test_a_command_that_fails_is_quoted_with_its_words() -> None:
    with pytest.raises(OSError, match=r"ip link delete no-such-device: .*no-such-device"):
        asyncio.run(run("ip", "link", "delete", "no-such-device"))


def test_a_holder_that_makes_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netns, "_READY_SECONDS", 0.05)
    with pytest.raises(OSError, match=r"made no namespaces .* root"):
        asyncio.run(space_of(os.getpid()))


def test_networks_that_lead_somewhere_are_not_free(tmp_path: Path) -> None:
    async def scene(_: Supervisor, switch: Switch) -> None:
        assert is_free(switch.prefix), "the switch's own device does not count"
        with a_network("elsewhere") as prefix:
            with a_device() as device:
                await run("ip", "address", "add", f"{prefix}.4.1/24", "dev", device)
                assert not is_free(prefix)
            assert is_free(prefix)

    on_a_switch(scene, tmp_path)


def test_it_is_said_what_a_machine_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert what_is_missing() == ""
    monkeypatch.setenv("PATH", "/nowhere")
    assert what_is_missing().startswith("the programs setpriv, unshare")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert what_is_missing() == "root"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert what_is_missing() == "Linux (this is darwin)"
