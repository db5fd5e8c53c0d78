"""Reads from an instance's user data which settings of the ECS agent it would write at boot.

A local instance never boots: the usual scripts and cloud-configs only write /etc/ecs/ecs.config, and that much can
be understood without running them. Shell variables and conditions are not.
"""

from __future__ import annotations

import base64
import email
import gzip
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

_CONFIG_PATH = "/etc/ecs/ecs.config"
_CONFIG_FILE = re.escape(_CONFIG_PATH)
_ECHO = re.compile(
    rf"^\s*(?:sudo\s+)?echo\s+(?P<words>.+?)\s*(?:>>?|\|\s*(?:sudo\s+)?tee\s+(?:-a\s+)?)\s*{_CONFIG_FILE}"
)
_CAT = re.compile(
    rf"^\s*cat\s*(?:<<-?\s*(?P<mark1>['\"]?\w+['\"]?)\s*>>?\s*{_CONFIG_FILE}"
    rf"|>>?\s*{_CONFIG_FILE}\s*<<-?\s*(?P<mark2>['\"]?\w+['\"]?))"
)
_SETTING = re.compile(r"^\s*(?:export\s+)?(ECS_[A-Z0-9_]+)=(.*?)\s*$")
_JSON_KEYS = {"Cluster": "ECS_CLUSTER", "InstanceAttributes": "ECS_INSTANCE_ATTRIBUTES"}


def cluster_user_data(cluster: str) -> str:
    """The usual user data of an instance that joins a cluster."""
    return f"#!/bin/bash\necho ECS_CLUSTER={shlex.quote(cluster)} >> /etc/ecs/ecs.config\n"


def agent_settings(user_data: str) -> dict[str, str] | None:
    """The agent's settings in user data; None where it has nothing to do with ECS. ECS_CLUSTER is always
    among them.

    Understands lines echoed or written by a here-document to /etc/ecs/ecs.config, in scripts and in what a
    cloud-config runs; the files that a cloud-config writes; both in the parts of a MIME multi-part archive; and the
    agent's JSON form, {"ECSAgentConfiguration": {…}}.
    """
    text = user_data.strip()
    if text.startswith("{"):
        return _json_settings(text)
    settings: dict[str, str] = {}
    concerned = False
    for part in _parts(text):
        if _CONFIG_PATH in part:
            concerned = True
            settings |= _cloud_config_settings(part) if part.startswith("#cloud-config") else _script_settings(part)
    if not concerned:
        return None
    settings.setdefault("ECS_CLUSTER", "default")
    return settings


def _parts(text: str) -> Iterator[str]:
    """The parts of a MIME archive, or the text itself."""
    if not re.match(r"(?i)(?:MIME-Version|Content-Type):", text):
        yield text
        return
    for part in email.message_from_bytes(text.encode()).walk():
        content = part.get_payload(decode=True)
        if isinstance(content, bytes):
            yield content.decode(errors="replace").strip()


def _cloud_config_settings(text: str) -> dict[str, str]:
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    if not isinstance(config, dict):
        return {}
    settings: dict[str, str] = {}
    for file in _listed(config.get("write_files")):
        if isinstance(file, dict) and file.get("path") == _CONFIG_PATH:
            for line in _content(file).splitlines():
                _add_setting(settings, line)
    for command in (*_listed(config.get("bootcmd")), *_listed(config.get("runcmd"))):
        script = "\n".join(map(str, command)) if isinstance(command, list) else str(command)
        settings |= _script_settings(script)
    return settings


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _content(file: Mapping[str, Any]) -> str:
    """What a file of write_files is to hold, in any of cloud-init's encodings."""
    content, encoding = str(file.get("content", "")).encode(), str(file.get("encoding", ""))
    try:
        if encoding in {"b64", "base64", "gz+b64", "gz+base64", "gzip+b64", "gzip+base64"}:
            content = base64.b64decode(content)
        if encoding.startswith("gz"):
            content = gzip.decompress(content)
    except (ValueError, OSError, EOFError):
        return ""
    return content.decode(errors="replace")


def _script_settings(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}
    mark: str | None = None
    for line in text.splitlines():
        if mark is not None:
            mark = None if line.strip() == mark else mark
            _add_setting(settings, line)
            continue
        heredoc = _CAT.match(line)
        echo = _ECHO.match(line)
        if heredoc is not None:
            mark = (heredoc["mark1"] or heredoc["mark2"]).strip("'\"")
        elif echo is not None:
            for written in _echoed(echo["words"]):
                _add_setting(settings, written)
    return settings


def _echoed(words: str) -> list[str]:
    try:
        parts = shlex.split(words)
    except ValueError:
        return []
    while parts and parts[0] in {"-e", "-n", "-en", "-ne"}:
        parts.pop(0)
    return " ".join(parts).replace("\\n", "\n").splitlines()


def _add_setting(settings: dict[str, str], line: str) -> None:
    setting = _SETTING.match(line)
    if setting is not None:
        settings[setting[1]] = setting[2]


def _json_settings(text: str) -> dict[str, str] | None:
    try:
        configuration = json.loads(text).get("ECSAgentConfiguration")
    except ValueError:
        return None
    if not isinstance(configuration, dict):
        return None
    settings = {"ECS_CLUSTER": "default"}
    for key, name in _JSON_KEYS.items():
        value = configuration.get(key)
        if value:
            settings[name] = value if isinstance(value, str) else json.dumps(value)
    return settings
