"""Which of ECS's variables this agent takes no notice of, and why: who sets one should be told, once.

The official agent passes over what it does not know without a word, and a misspelt name goes unseen for months.
"""

from collections.abc import Iterable, Mapping

_ON_HOST = "this agent is no container: it runs on the host itself"
_OWN_LOG = "this agent logs to ECS_LOGFILE, or to the journal, which turn over their files themselves"
_CHEAP_METRICS = "metrics are read from the kernel, which costs nothing that polling would save"
_NO_PLUGINS = "this agent makes the network interfaces of tasks without plugins"
_OTHER_PLATFORM = "this agent runs on Linux only"
IGNORED: Mapping[str, str] = {
    "ECS_HOST_DATA_DIR": f"{_ON_HOST}, so ECS_DATADIR is the host's",
    "ECS_INIT_DOCKER_LOG_FILE_SIZE": _ON_HOST,
    "ECS_INIT_DOCKER_LOG_FILE_NUM": _ON_HOST,
    "ECS_AGENT_LABELS": _ON_HOST,
    "ECS_AGENT_PID_NAMESPACE_HOST": _ON_HOST,
    "ECS_SKIP_LOCALHOST_TRAFFIC_FILTER": "this agent does not listen where packets for localhost could come from",
    "ECS_ALLOW_OFFHOST_INTROSPECTION_ACCESS": "set AWSORCH_INTROSPECTION_ADDRESS to the address to listen at",
    "ECS_OFFHOST_INTROSPECTION_INTERFACE_NAME": "set AWSORCH_INTROSPECTION_ADDRESS to the address to listen at",
    "ECS_LOGLEVEL_ON_INSTANCE": _OWN_LOG,
    "ECS_LOG_DRIVER": _OWN_LOG,
    "ECS_LOG_OPTS": _OWN_LOG,
    "ECS_LOG_OUTPUT_FORMAT": _OWN_LOG,
    "ECS_LOG_ROLLOVER_TYPE": _OWN_LOG,
    "ECS_LOG_MAX_FILE_SIZE_MB": _OWN_LOG,
    "ECS_LOG_MAX_ROLL_COUNT": _OWN_LOG,
    "ECS_POLL_METRICS": _CHEAP_METRICS,
    "ECS_POLLING_METRICS_WAIT_DURATION": _CHEAP_METRICS,
    "ECS_ENABLE_RUNTIME_STATS": "GET /metrics at the introspection port has this agent's figures",
    "ECS_CNI_PLUGINS_PATH": _NO_PLUGINS,
    "ECS_CGROUP_PATH": "the engine says where its cgroups are",
    "ECS_PULL_DEPENDENT_CONTAINERS_UPFRONT": "images are pulled before dependencies are waited for anyway",
    "ECS_WARM_POOLS_CHECK": "the controller knows which instances are in a warm pool",
    "ECS_ENABLE_HIGH_DENSITY_ENI": "there is no trunking of network interfaces",
    "ECS_FSX_WINDOWS_FILE_SERVER_SUPPORTED": _OTHER_PLATFORM,
    "ECS_GMSA_SUPPORTED": _OTHER_PLATFORM,
    "ECS_ALTERNATE_CREDENTIAL_PROFILE": "keys come from the environment, the instance's role or an activation",
}
_OTHERS = (
    "ECS_CONTAINER_METADATA_URI",
    "ECS_CONTAINER_METADATA_URI_V4",
    "ECS_AGENT_URI",
    "ECS_CONTAINER_METADATA_FILE",
)
"""What an agent finds in its environment that runs in a task itself."""
_PREFIXES = ("ECS_", "NON_ECS_", "NONECS_")


def unused_variables(environment: Iterable[str], read: Iterable[str]) -> list[str]:
    """A line for each variable of ECS in `environment` that is not among those that are `read`."""
    known = {*read, *_OTHERS}
    lines = []
    for name in sorted({each for each in environment if each.startswith(_PREFIXES)} - known):
        why = IGNORED.get(name, "this agent knows no such variable; is it spelt right?")
        lines.append(f"{name} has no effect: {why}")
    return lines
