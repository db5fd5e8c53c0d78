"""What the local cloud keeps of its load balancers, across restarts of the controller."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from awsorch.local.front_ends_addresses import AddressBook
from awsorch.local.targets_db import Registration, Registrations, open_db


def a_target(**changes: object) -> Registration:
    usual: dict[str, object] = {"owner": "group", "id": "i-1", "port": 80, "address": "127.9.0.1"}
    return Registration(**(usual | changes))  # type: ignore[arg-type]


def test_targets_are_there_after_a_restart(tmp_path: Path) -> None:
    first = open_db(tmp_path / "targets.db")
    kept = [a_target(), a_target(port=81), a_target(zone="all"), a_target(owner="other", draining_until=12.5)]
    Registrations(first).put(kept)
    # the first connection is not closed: a killed process closes nothing
    again = Registrations(open_db(tmp_path / "targets.db"))
    assert set(again.everything()) == set(kept)
    assert [each.key for each in again.of("group")] == ["i-1:80", "i-1:80@all", "i-1:81"]
    again.put([a_target(address="127.9.0.2")])
    again.remove([a_target(port=81), a_target(id="i-unknown")])
    third = open_db(tmp_path / "targets.db")
    assert {(each.key, each.address) for each in Registrations(third).of("group")} == {
        ("i-1:80", "127.9.0.2"),
        ("i-1:80@all", "127.9.0.1"),
    }


def test_what_has_drained_goes_and_what_was_deleted_is_forgotten(tmp_path: Path) -> None:
    registrations = Registrations(open_db(tmp_path / "targets.db"))
    registrations.put([a_target(), a_target(port=81, draining_until=20.0), a_target(owner="gone")])
    assert registrations.next_expiry() == 20.0
    assert not registrations.expire(19.9)
    assert registrations.expire(20.0)
    assert registrations.next_expiry() is None
    registrations.keep_only({"group"})
    assert registrations.everything() == (a_target(),)
    assert Registrations(open_db(tmp_path / "targets.db")).everything() == (a_target(),)


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "targets.db").write_bytes(b"not a database " * 100)
    with pytest.raises(OSError, match=r"targets\.db cannot be used .*move it away"):
        open_db(tmp_path / "targets.db")


def test_a_load_balancer_keeps_its_address_until_it_is_deleted(tmp_path: Path) -> None:
    book = AddressBook(open_db(tmp_path / "targets.db"), "127.9")
    assert [book.address(name) for name in ("a", "b", "a")] == ["127.9.192.1", "127.9.192.2", "127.9.192.1"]
    again = AddressBook(open_db(tmp_path / "targets.db"), "127.9")
    assert (again.address("b"), again.known_address("a"), again.known_address("c")) == (
        "127.9.192.2",
        "127.9.192.1",
        None,
    )
    again.keep_only({"b"}, set())
    assert again.address("c") == "127.9.192.1"


def test_addresses_stay_out_of_the_instances_subnets_and_run_out(tmp_path: Path) -> None:
    book = AddressBook(open_db(tmp_path / "targets.db"), "127.9")
    given = {book.address(f"balancer {number}") for number in range(251)}
    assert len(given) == 251
    assert all(int(address.split(".")[2]) in {192, 193} for address in given)


def test_a_listener_gets_its_own_port_or_one_near_it(tmp_path: Path) -> None:
    book = AddressBook(open_db(tmp_path / "targets.db"), "127.9")
    with socket.socket() as taken, socket.socket() as free:
        taken.bind(("0.0.0.0", 0))
        taken.listen(1)
        free.bind(("127.9.0.9", 0))
        own, open_port = taken.getsockname()[1], free.getsockname()[1]
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", own))
        taken.listen(1)
        instead = book.port("listener", own, ())
        assert instead != own
        assert instead >= 8000
    assert book.port("listener", own, ()) == instead, "a listener keeps the port that it has"
    assert book.port("other", open_port, ()) == open_port
    assert book.port("third", open_port, {open_port}) != open_port
    assert AddressBook(open_db(tmp_path / "targets.db"), "127.9").known_port("listener") == instead
    book.keep_only(set(), {"other"})
    assert (book.known_port("listener"), book.known_port("other")) == (None, open_port)
