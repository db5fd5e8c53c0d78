"""Rules about the network mode and what containers may say of the network."""

from __future__ import annotations

import re

from awsorch.core.definitions.document import Document, containers_of, name_of, network_mode_of
from awsorch.core.errors import client_error

_LINK = re.compile(r"(?P<name>[A-Za-z0-9_-]+)(:(?P<alias>[A-Za-z0-9_.-]+))?")
_NOT_IN_AWSVPC = (
    ("disableNetworking", "Disable Networking is"),
    ("dnsServers", "DNS servers are"),
    ("dnsSearchDomains", "DNS search domains are"),
    ("hostname", "Hostname is"),
    ("extraHosts", "Extra hosts are"),
)


def check_network(document: Document) -> None:
    """Links, and the settings that containers with an elastic network interface of their own may not have."""
    mode = network_mode_of(document)
    names = {name_of(container) for container in containers_of(document)}
    for container in containers_of(document):
        if mode == "awsvpc":
            _check_awsvpc(container)
        _check_links(container, mode, names)
        for host in container.get("extraHosts") or ():
            if not host.get("hostname") or not host.get("ipAddress"):
                raise client_error(f"Extra hosts of container '{name_of(container)}' need 'hostname' and 'ipAddress'.")


def linked_names(container: Document) -> list[str]:
    """The names of the containers that this one links to."""
    return [link.partition(":")[0] for link in container.get("links") or ()]


def _check_awsvpc(container: Document) -> None:
    for member, subject in _NOT_IN_AWSVPC:
        if container.get(member):
            raise client_error(f"{subject} not supported on container when networkMode=awsvpc")


def _check_links(container: Document, mode: str, names: set[str]) -> None:
    links = container.get("links") or ()
    if links and mode != "bridge":
        raise client_error(f"Links are not supported when networkMode={mode}.")
    for link in links:
        found = _LINK.fullmatch(link)
        if found is None:
            raise client_error(
                f"Invalid link '{link}' of container '{name_of(container)}'. Use 'name' or 'name:alias'."
            )
        if found["name"] not in names:
            raise client_error(f"Invalid 'links' setting. Unknown container: '{found['name']}'")
