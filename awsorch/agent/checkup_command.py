"""`awsorch-agent doctor`: the checks as a table or as JSON, on a machine as its agent would find it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from awsorch.agent.checkup import Check, Checkup, Machine
from awsorch.agent.config_files import ENVIRONMENT_FILE, read_environment_file, with_config_file
from awsorch.agent.docker_engine import DockerEngine
from awsorch.agent.external import read_identity, settings_of
from awsorch.agent.session import open_http
from awsorch.agent.settings import load

_UNIT = {
    "ECS_DATADIR": "/var/lib/ecs",
    "ECS_ENABLE_TASK_IAM_ROLE": "true",
    "ECS_ENABLE_TASK_IAM_ROLE_NETWORK_HOST": "true",
}
"""What the installed unit sets: where there is one, the doctor looks at the agent as the unit would start it."""
UNIT_FILE = Path("/etc/systemd/system/awsorch-agent.service")


def environment_here(
    environment: Mapping[str, str], *, unit: Path = UNIT_FILE, variables: Path = ENVIRONMENT_FILE
) -> dict[str, str]:
    """The environment that the agent has here when systemd starts it, with what this process's says besides. Raises
    SettingError and IdentityFileError."""
    whole = {**(_UNIT if unit.exists() else {}), **read_environment_file(variables), **environment}
    whole, _ = with_config_file(whole)
    folder = whole.get("ECS_DATADIR", "")
    identity = read_identity(Path(folder)) if folder else None
    return whole if identity is None else settings_of(identity, whole)


async def examine(environment: Mapping[str, str]) -> list[Check]:
    """Every check of this machine. Raises SettingError and IdentityFileError."""
    whole = environment_here(environment)
    settings = load(whole)
    engine = DockerEngine(settings.engine)
    try:
        async with open_http() as http:
            return await Checkup(settings, whole, http, Machine(engine=engine)).run()
    finally:
        await engine.close()


def as_text(checks: Sequence[Check]) -> str:
    """A line a check, and below those that failed what mends it."""
    return "\n".join(_lines(checks))


def as_json(checks: Sequence[Check]) -> str:
    return json.dumps({"ok": all(each.ok for each in checks), "checks": [asdict(each) for each in checks]}, indent=2)


def _lines(checks: Sequence[Check]) -> Iterator[str]:
    width = max(len(each.name) for each in checks)
    for each in checks:
        yield f"{'✓' if each.ok else '✗'} {each.name:<{width}}  {each.found}"
        if not each.ok:
            yield f"  {'':<{width}}  → {each.mend}"
    failed = sum(not each.ok for each in checks)
    yield ""
    yield f"{failed} of {len(checks)} checks failed." if failed else "All is well: an agent can work here."
