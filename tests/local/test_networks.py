"""Which networks a cloud takes, and what it will not mix."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from awsorch.local import networks
from awsorch.local.instances import LocalNetwork
from awsorch.local.networks import claim_networks
from awsorch.local.options import CannotStart, Hosts


def known(prefix: str) -> LocalNetwork:
    return LocalNetwork(prefix=prefix, vpc_id="vpc-1", subnets={}, zone_ids={}, image_id="ami-1")


@pytest.mark.parametrize(
    ("before", "hosts", "wanted"),
    [(None, "netns", None), ("10.99", "netns", "127.99"), ("127.99", "loopback", "127.99")],
)
def test_a_cloud_keeps_the_networks_in_which_its_instances_have_addresses(
    before: str | None, hosts: Hosts, wanted: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[str | None] = []

    def claim(loopback: str | None, _: str, is_usable: Callable[[str], bool]) -> tuple[str, socket.socket]:
        asked.append(loopback)
        assert is_usable("127.99")
        return "127.99", socket.socket()

    monkeypatch.setattr(networks, "is_free", lambda prefix: prefix == "10.99")
    monkeypatch.setattr(networks, "claim_network", claim)
    prefix, held = claim_networks(known(before) if before else None, hosts, tmp_path)
    held.close()
    assert (prefix, asked) == ("127.99", [wanted])


@pytest.mark.parametrize(
    ("prefix", "hosts", "other"), [("127.99", "netns", "loopback"), ("10.99", "loopback", "netns")]
)
def test_instances_that_share_this_machine_are_not_mixed_with_others(
    prefix: str, hosts: Hosts, other: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotStart, match=rf"are of --hosts {other}: start it so, or give another folder with --data"):
        claim_networks(known(prefix), hosts, tmp_path)


def test_a_network_that_leads_elsewhere_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(networks, "is_free", lambda prefix: prefix != "10.99")
    with pytest.raises(CannotStart, match=r"network 10\.99\.0\.0/16 .* leads elsewhere now: take that route away"):
        claim_networks(known("10.99"), "netns", tmp_path)
