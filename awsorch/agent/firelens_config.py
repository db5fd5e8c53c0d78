"""The configuration of a task's log router (FireLens): what it takes in, what it adds, and where it sends whose lines.

Pure. Source: ECS developer guide, "Send Amazon ECS logs to an AWS service or AWS Partner", "Using FireLens"; agent
protocol, log drivers.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

FLUENT_BIT, FLUENTD = "fluentbit", "fluentd"
SOCKET = "/var/run/fluent.sock"
PORT = 24224
CONFIG_PATHS = {FLUENT_BIT: "/fluent-bit/etc/fluent-bit.conf", FLUENTD: "/fluentd/etc/fluent.conf"}
EXTERNAL_PATHS = {FLUENT_BIT: "/fluent-bit/etc/external.conf", FLUENTD: "/fluentd/etc/external.conf"}
DEFAULT_BUFFER = "25MB"
_PLUGIN = {FLUENT_BIT: "Name", FLUENTD: "@type"}
_OF_DRIVER = ("log-driver-buffer-limit", "include-pattern", "exclude-pattern")
_NOT_IN_VARIABLES = re.compile(r"[^A-Za-z0-9]+")
_HEALTH = "firelens-healthcheck"


class RouterError(Exception):
    """Options that make no configuration; the text is the task's reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One container's lines. `secret_options` are named only: the router has their values in its environment."""

    container: str
    options: Mapping[str, str]
    secret_options: tuple[str, ...] = ()

    @property
    def match(self) -> str:
        """What its lines' tags begin with."""
        return f"{self.container}-firelens"


@dataclass(frozen=True, slots=True, kw_only=True)
class Router:
    """One task's. `kind` is fluentbit or fluentd; `bind`: where containers reach it by network; `added` goes into every
    record; `external` is a configuration's path in the container, `memory` the container's in MiB (0: no limit)."""

    kind: str
    routes: tuple[Route, ...]
    bind: str = "0.0.0.0"
    added: Mapping[str, str] = field(default_factory=dict)
    external: str = ""
    memory: int = 0


def variable_of(option: str, container: str) -> str:
    """The variable in the router's environment that has a secret option's value."""
    return f"{_NOT_IN_VARIABLES.sub('_', option)}_{_NOT_IN_VARIABLES.sub('_', container)}".upper()


def text_of(router: Router) -> str:
    """The configuration file. Raises RouterError."""
    for route in router.routes:
        plugin = _PLUGIN[router.kind]
        sends = {**route.options, **dict.fromkeys(route.secret_options, "")}
        if sends.keys() - set(_OF_DRIVER) and plugin not in sends:
            raise RouterError(
                f"missing output key {plugin} which is required for firelens configuration of type {router.kind} "
                f"(container {route.container})"
            )
    return _fluent_bit(router) if router.kind == FLUENT_BIT else _fluentd(router)


def _fluent_bit(router: Router) -> str:
    buffer = f"{router.memory // 2}MB" if router.memory else DEFAULT_BUFFER
    sections = [
        _section("INPUT", {"Name": "tcp", "Tag": _HEALTH, "Listen": "127.0.0.1", "Port": "8877"}),
        _section("INPUT", {"Name": "forward", "Mem_Buf_Limit": buffer, "unix_path": SOCKET}),
        _section("INPUT", {"Name": "forward", "Listen": router.bind, "Port": str(PORT)}),
    ]
    if router.added:
        added = [("Name", "record_modifier"), ("Match", "*")]
        added += [("Record", f"{name} {value}") for name, value in router.added.items()]
        sections.append(_section("FILTER", added))
    for route in router.routes:
        for option, kind in (("include-pattern", "Regex"), ("exclude-pattern", "Exclude")):
            if option in route.options:
                words = {"Name": "grep", "Match": f"{route.match}*", kind: f"log {route.options[option]}"}
                sections.append(_section("FILTER", words))
    if router.external:
        sections.append(f"@INCLUDE {router.external}\n")
    sections.append(_section("OUTPUT", {"Name": "null", "Match": _HEALTH}))
    for route in router.routes:
        sends = _sends(route, "${{{}}}")
        if sends:
            sections.append(_section("OUTPUT", {"Name": sends.pop("Name"), "Match": f"{route.match}*", **sends}))
    return "\n".join(sections)


def _section(name: str, words: Mapping[str, str] | Iterable[tuple[str, str]]) -> str:
    pairs = words.items() if isinstance(words, Mapping) else words
    return f"[{name}]\n" + "".join(f"    {key} {_one_line(value)}\n" for key, value in pairs)


def _fluentd(router: Router) -> str:
    sections = [
        _element("source", "", {"@type": "unix", "path": SOCKET}),
        _element("source", "", {"@type": "forward", "bind": router.bind, "port": str(PORT)}),
    ]
    if router.added:
        record = "".join(f"    {name} {_one_line(value)}\n" for name, value in router.added.items())
        sections.append(f"<filter **>\n  @type record_transformer\n  <record>\n{record}  </record>\n</filter>\n")
    for route in router.routes:
        for option, kind in (("include-pattern", "regexp"), ("exclude-pattern", "exclude")):
            if option in route.options:
                inner = f"  <{kind}>\n    key log\n    pattern {_one_line(route.options[option])}\n  </{kind}>\n"
                sections.append(f"<filter {route.match}**>\n  @type grep\n{inner}</filter>\n")
    if router.external:
        sections.append(f"@include {router.external}\n")
    for route in router.routes:
        sends = _sends(route, "\"#{{ENV['{}']}}\"")
        if sends:
            sections.append(_element("match", f" {route.match}**", {"@type": sends.pop("@type"), **sends}))
    return "\n".join(sections)


def _element(name: str, pattern: str, words: Mapping[str, str]) -> str:
    lines = "".join(f"  {key} {_one_line(value)}\n" for key, value in words.items())
    return f"<{name}{pattern}>\n{lines}</{name}>\n"


def _sends(route: Route, form: str) -> dict[str, str]:
    """The options of the output; secret ones as the router finds them in its environment."""
    secret = {name: form.format(variable_of(name, route.container)) for name in route.secret_options}
    return {name: value for name, value in {**route.options, **secret}.items() if name not in _OF_DRIVER}


def _one_line(value: str) -> str:
    """An option may not begin another section."""
    return " ".join(value.splitlines())
