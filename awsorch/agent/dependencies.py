"""The order of the containers in a task: who waits for whom, who may stop, what cannot be. Pure."""

from collections.abc import Mapping

from awsorch.agent.states import (
    Condition,
    ContainerRules,
    ContainerState,
    Dependency,
    Health,
    Status,
)

Rules = Mapping[str, ContainerRules]
States = Mapping[str, ContainerState]


def is_resolvable(rules: Rules) -> bool:
    """True when every dependency names a container of the task and none waits, in the end, for itself."""
    waiting = {name: {each.on for each in container.depends_on} for name, container in rules.items()}
    if any(not names <= waiting.keys() for names in waiting.values()):
        return False
    while waiting:
        free = [name for name, names in waiting.items() if not names]
        if not free:
            return False
        for name in free:
            del waiting[name]
        for names in waiting.values():
            names.difference_update(free)
    return True


def is_met(dependency: Dependency, states: States) -> bool:
    target = states[dependency.on]
    match dependency.condition:
        case Condition.CREATED:
            return target.known >= Status.CREATED
        case Condition.START:
            return target.known >= Status.RUNNING
        case Condition.COMPLETE:
            return target.known is Status.STOPPED
        case Condition.SUCCESS:
            return target.known is Status.STOPPED and target.exit_code == 0
        case Condition.HEALTHY:
            return target.known is Status.RUNNING and target.health is Health.HEALTHY


def obstacle(dependency: Dependency, rules: Rules, states: States, now: float) -> str | None:
    """Why an unmet dependency can never be met, in words; None while it still can."""
    target = states[dependency.on]
    condition = dependency.condition
    if target.known is Status.STOPPED:
        if condition is Condition.SUCCESS:
            how = "without having run" if target.exit_code is None else f"with exit code {target.exit_code}"
            return f"it stopped {how}"
        if condition is Condition.HEALTHY:
            return "it stopped"
    deadline = deadline_of(dependency, rules, states)
    if deadline is not None and now >= deadline:
        return f"its startTimeout of {rules[dependency.on].start_timeout:g} seconds is over"
    return None


def deadline_of(dependency: Dependency, rules: Rules, states: States) -> float | None:
    """When the dependency's own startTimeout ends the wait; START and CREATED waits have no end."""
    limit = rules[dependency.on].start_timeout
    began = states[dependency.on].began_at
    if limit is None or began is None or dependency.condition in (Condition.CREATED, Condition.START):
        return None
    return began + limit


def dependents_are_stopped(name: str, rules: Rules, states: States) -> bool:
    """Containers stop in reverse order: a container only after all that depend on it."""
    return all(
        states[other].known is Status.STOPPED
        for other, container in rules.items()
        if any(each.on == name for each in container.depends_on)
    )
