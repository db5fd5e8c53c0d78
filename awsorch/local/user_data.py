"""Reads from an instance's user data which settings of the ECS agent it would write at boot.

A local instance never boots: the usual scripts only append to /etc/ecs/ecs.config, and that much can be
understood without running them. Shell variables and conditions are not.
"""

from __future__ import annotations

import json
import re
import shlex

_CONFIG_FILE = r"/etc/ecs/ecs\.config"
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

    Understands lines echoed or written by a here-document to /etc/ecs/ecs.config, anywhere in the text (so in
    MIME multi-part archives too), and the agent's JSON form, {"ECSAgentConfiguration": {…}}.
    """
    text = user_data.strip()
    if text.startswith("{"):
        return _json_settings(text)
    if not re.search(_CONFIG_FILE, text):
        return None
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
    settings.setdefault("ECS_CLUSTER", "default")
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
