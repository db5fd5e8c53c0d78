"""`awsorch userdata`: what a launch template's instances run at their first boot, so that they join a cluster.

It is put together here, without asking anybody: templates from ``awsorch/install/``, settings under the official
agent's names in /etc/ecs/ecs.config. Whatever can be typed is either written so that neither the shell, YAML nor
systemd sees more in it than a value, or refused.
"""

from __future__ import annotations

import base64
import functools
import json
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

import click
import yaml

from awsorch.cli.faults import Fault
from awsorch.cli.pairs import attributes_option, parse_pairs
from awsorch.cli.session import configured_endpoint

#: Bytes of user data that EC2 takes, before base64.
LIMIT_BYTES = 16 * 1024
CONFIG, UNIT, SCRIPT = "/etc/ecs/ecs.config", "/etc/systemd/system/awsorch-agent.service", "/opt/awsorch-install.sh"
BOUNDARY = "==awsorch=="
SYSTEMS = ("al2023", "ubuntu")
FORMATS = ("cloud-config", "shell", "mime")
ABOUT = """\
awsorch: an instance of cluster {cluster}, on {system}.
The launch template is to ask for IMDSv2 (MetadataOptions: HttpTokens=required, HttpPutResponseHopLimit=1, so that the
instance's role is the agent's, not its containers').
"""
_CLUSTER = re.compile(r"[A-Za-z0-9_-]{1,255}|arn:[a-z-]+:ecs:[a-z0-9-]+:[0-9]{12}:cluster/[A-Za-z0-9_-]{1,255}")
_SETTING = re.compile(r"(?:ECS|AWS|AWSORCH|HTTPS?|NO)_[A-Z0-9_]+")
_PLAIN = re.compile(r"[^\x00-\x1f\x7f'\"\\]*")
"""Values that mean the same to the shell's here-documents, to YAML's literal blocks and to systemd."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What user data consists of: what it says of itself, the agent's settings, systemd's unit, what installs it."""

    about: str
    config: str
    unit: str
    script: str


class Literal(str):
    """Text that YAML shows as a literal block."""

    __slots__ = ()


class Dumper(yaml.SafeDumper):
    """YAML as people write cloud-config: literal blocks, lists under their keys."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


Dumper.add_representer(Literal, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that become settings of the agent; it gets `settings` in their place."""

    @click.option(
        "--cluster", default="default", show_default=True, metavar="NAME", help="Cluster to join, by name or ARN."
    )
    @click.option(
        "--endpoint", metavar="URL", help="Where instances reach the controller. [default: $AWS_ENDPOINT_URL]"
    )
    @attributes_option("Attributes of the instances (ECS_INSTANCE_ATTRIBUTES).")
    @click.option(
        "--tags",
        multiple=True,
        metavar="NAME=VALUE,…",
        callback=parse_pairs("a tag", "team=web"),
        help="Tags of the container instances (ECS_CONTAINER_INSTANCE_TAGS).",
    )
    @click.option("--spot-draining", is_flag=True, help="Drain the instance when EC2 interrupts it.")
    @click.option(
        "--set",
        "more",
        multiple=True,
        metavar="NAME=VALUE",
        help="Any other setting of the agent: ECS_RESERVED_MEMORY=256. May be repeated.",
    )
    @functools.wraps(command)
    def run(
        *,
        cluster: str,
        endpoint: str | None,
        attributes: dict[str, str],
        tags: dict[str, str],
        spot_draining: bool,
        more: tuple[str, ...],
        **arguments: Any,
    ) -> None:
        settings = {"ECS_CLUSTER": check_cluster(cluster)}
        settings["ECS_BACKEND_HOST"] = check_endpoint(endpoint or configured_endpoint())
        if attributes:
            settings["ECS_INSTANCE_ATTRIBUTES"] = as_json(attributes)
        if tags:
            settings["ECS_CONTAINER_INSTANCE_TAGS"] = as_json(tags)
        if spot_draining:
            settings["ECS_ENABLE_SPOT_INSTANCE_DRAINING"] = "true"
        command(settings={**settings, **dict(map(read_setting, more))}, **arguments)

    return run


@click.command("userdata")
@settings_options
@click.option(
    "--os", "system", type=click.Choice(SYSTEMS), default="al2023", show_default=True, help="What the image runs."
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="cloud-config", show_default=True)
@click.option(
    "--package",
    default="awsorch",
    show_default=True,
    metavar="WHAT",
    help="What pip installs: awsorch==1.2, a wheel's URL, or s3://bucket/key.",
)
@click.option("--index-url", default="", metavar="URL", help="The package index. [default: pip's]")
@click.option("--base64", "encoded", is_flag=True, help="As the EC2 API takes it; launch templates' files want text.")
def userdata(settings: Mapping[str, str], system: str, form: str, package: str, index_url: str, encoded: bool) -> None:
    """Print user data that makes EC2 instances join a cluster.

    It installs Docker and the agent, and keeps the agent running: on Amazon Linux 2023, or Ubuntu 22.04 and 24.04.
    """
    parts = Parts(
        about=ABOUT.format(cluster=settings["ECS_CLUSTER"], system=system),
        config="".join(f"{name}={value}\n" for name, value in settings.items()),
        unit=template("awsorch-agent.service"),
        script=install_script(system, package, index_url),
    )
    text = FORMS[form](parts)
    size = len(text.encode())
    if size > LIMIT_BYTES:
        raise Fault(f"this is {size} bytes of user data, and EC2 takes {LIMIT_BYTES}: say less in --set and --tags")
    click.echo(base64.b64encode(text.encode()).decode() if encoded else text, nl=encoded)


def check_cluster(cluster: str) -> str:
    """The cluster, if it can be one. Raises UsageError."""
    if not _CLUSTER.fullmatch(cluster):
        raise click.UsageError(f"{cluster!r} is no cluster's name or ARN")
    return cluster


def as_json(values: Mapping[str, str]) -> str:
    """Attributes or tags as a setting. Raises UsageError for those that would have to be escaped."""
    for name, value in values.items():
        if not (_PLAIN.fullmatch(name) and _PLAIN.fullmatch(value)):
            raise click.UsageError(f"{name}={value} has a quote, a backslash or a control character")
    return json.dumps(values, ensure_ascii=False)


def read_setting(item: str) -> tuple[str, str]:
    """Name and value of what --set was given. Raises UsageError."""
    name, equals, value = item.partition("=")
    if not equals or not _SETTING.fullmatch(name):
        raise click.UsageError(f"--set {item!r} is not a setting of the agent such as ECS_RESERVED_MEMORY=256")
    if not re.fullmatch(r"[^\x00-\x1f\x7f\\]*", value) or value[:1] in ("'", '"') or value != value.strip():
        raise click.UsageError(f"--set {item!r} begins with a quote, or has a backslash or blanks around it")
    return name, value


def check_endpoint(endpoint: str | None) -> str:
    """The endpoint, if instances can use it. Raises UsageError."""
    if not endpoint:
        raise click.UsageError("--endpoint should say where instances reach the controller")
    where = urlsplit(endpoint)
    if where.scheme not in ("http", "https") or not where.hostname or not re.fullmatch(r"[!-~]+", endpoint):
        raise click.UsageError(f"{endpoint!r} is not an endpoint; one looks like https://ecs.example.com")
    if where.hostname == "localhost" or where.hostname.startswith("127."):
        click.echo(
            f"awsorch: {endpoint} is good in the local cloud only: elsewhere it is each instance itself", err=True
        )
    return endpoint


def install_script(system: str, package: str, index_url: str) -> str:
    """What installs and starts the agent, for bash."""
    for what, value in (("--package", package), ("--index-url", index_url)):
        if not re.fullmatch(r"[ -~]*", value) or value.startswith("-"):
            raise click.UsageError(f"{what} {value!r} is nothing that pip takes")
    text = template("install.sh").replace("@PACKAGES@\n", template(f"{system}.sh"))
    return text.replace("@PACKAGE@", shlex.quote(package)).replace("@INDEX_URL@", shlex.quote(index_url))


def template(name: str) -> str:
    """A file of ``awsorch/install/``."""
    return files("awsorch").joinpath("install", name).read_text()


def comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def as_shell(parts: Parts) -> str:
    """One script for bash."""
    return (
        f"#!/bin/bash\n{comment(parts.about)}\n"
        f"mkdir -p /etc/ecs\ncat > {CONFIG} <<'END_OF_CONFIG'\n{parts.config}END_OF_CONFIG\n"
        f"cat > {UNIT} <<'END_OF_UNIT'\n{parts.unit}END_OF_UNIT\n\n{parts.script}"
    )


def as_cloud_config(parts: Parts) -> str:
    """A cloud-config that writes the files and runs the script."""
    written = [*written_files(parts), written_file(SCRIPT, "0755", f"#!/bin/bash\n{parts.script}")]
    return cloud_config(parts, {"write_files": written, "runcmd": [[SCRIPT]]})


def as_mime(parts: Parts) -> str:
    """A MIME multi-part archive, to which parts of one's own can be added."""
    bodies = (
        ("text/cloud-config", cloud_config(parts, {"write_files": written_files(parts)})),
        ("text/x-shellscript", f"#!/bin/bash\n{parts.script}"),
    )
    head = f'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="{BOUNDARY}"\n\n'
    return f"{head}{''.join(mime_part(kind, body) for kind, body in bodies)}--{BOUNDARY}--\n"


def mime_part(kind: str, body: str) -> str:
    """One part. cloud-init reads other letters than ASCII's aright only from base64."""
    encoding = "7bit" if body.isascii() else "base64"
    shown = body if body.isascii() else base64.encodebytes(body.encode()).decode()
    head = f'Content-Type: {kind}; charset="utf-8"\nContent-Transfer-Encoding: {encoding}'
    return f"--{BOUNDARY}\n{head}\n\n{shown}\n"


def cloud_config(parts: Parts, value: Mapping[str, object]) -> str:
    text = yaml.dump(value, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=1000)
    return f"#cloud-config\n{comment(parts.about)}{text}"


def written_files(parts: Parts) -> list[dict[str, str]]:
    return [written_file(CONFIG, "0600", parts.config), written_file(UNIT, "0644", parts.unit)]


def written_file(path: str, permissions: str, content: str) -> dict[str, str]:
    return {"path": path, "permissions": permissions, "content": Literal(content)}


FORMS: Mapping[str, Callable[[Parts], str]] = dict(zip(FORMATS, (as_cloud_config, as_shell, as_mime), strict=True))
