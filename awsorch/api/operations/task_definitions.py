"""Register, Deregister, Describe, List and Delete task definitions, and list their families."""

from __future__ import annotations

from awsorch.api.calls import Answer, Call, operation
from awsorch.api.pages import page_size, start_after, take_page
from awsorch.api.views import failure_view
from awsorch.api.views_task_definitions import task_definition_view
from awsorch.core.arn import Elsewhere
from awsorch.core.definitions.references import INVALID, Reference, parse_reference
from awsorch.core.definitions.register import prepare
from awsorch.core.errors import Refusal, client_error
from awsorch.core.events_registry import DeleteTaskDefinitions, DeregisterTaskDefinition, RegisterTaskDefinition
from awsorch.core.model import TaskDefinition
from awsorch.core.revisions import record_key
from awsorch.core.rules.task_definitions import MISSING, DeletedTaskDefinitions
from awsorch.core.state import RegistryState
from awsorch.core.tags import parse_tags, tag_list

MAX_DELETED = 10


@operation("RegisterTaskDefinition")
async def register_task_definition(call: Call) -> Answer:
    """Check and complete the definition, then store it as the family's next revision."""
    tags = parse_tags(call.request.get("tags", ()))
    request = {member: value for member, value in call.request.items() if member != "tags"}
    definition: TaskDefinition = await call.registry.submit(
        RegisterTaskDefinition(
            cause=call.cause,
            document=prepare(request, region=call.scope.region, account=call.scope.account),
            tags=tags,
            registered_by=call.caller_arn,
            scope=call.scope,
        )
    )
    return {"taskDefinition": task_definition_view(definition), "tags": tag_list(tags) if tags else None}


@operation("DeregisterTaskDefinition")
async def deregister_task_definition(call: Call) -> Answer:
    """The named revision becomes INACTIVE."""
    reference = parse_reference(call.request["taskDefinition"], call.scope)
    if reference.revision is None:
        raise client_error("Revision is missing.")
    definition = await call.registry.submit(
        DeregisterTaskDefinition(cause=call.cause, family=reference.family, revision=reference.revision)
    )
    return {"taskDefinition": task_definition_view(definition)}


@operation("DescribeTaskDefinition")
async def describe_task_definition(call: Call) -> Answer:
    """One revision, whatever its status; a family is its newest ACTIVE one."""
    reference = parse_reference(call.request["taskDefinition"], call.scope)
    definition = await call.registry.read(lambda state: state.find_revision(reference))
    if definition is None:
        raise client_error("Unable to describe task definition.")
    tags = tag_list(definition.tags) if "TAGS" in call.request.get("include", ()) else None
    return {"taskDefinition": task_definition_view(definition), "tags": tags}


@operation("ListTaskDefinitions")
async def list_task_definitions(call: Call) -> Answer:
    """ARNs by family and revision number; ACTIVE ones unless asked otherwise. familyPrefix is a whole family."""
    request = call.request
    size, after = page_size(request), start_after(request)

    def look(state: RegistryState) -> Answer:
        keys = state.revisions.walk(
            request.get("status", "ACTIVE"),
            family=request.get("familyPrefix"),
            after=after,
            descending=request.get("sort") == "DESC",
        )
        page, token = take_page(keys, size)
        arns = [state.definitions[record_key(key)].arn for key in page]
        return {"taskDefinitionArns": arns, "nextToken": token}

    return await call.registry.read(look)


@operation("ListTaskDefinitionFamilies")
async def list_task_definition_families(call: Call) -> Answer:
    """Families by name, of both statuses unless asked otherwise."""
    request = call.request
    size, after = page_size(request), start_after(request)

    def look(state: RegistryState) -> Answer:
        families = state.revisions.walk_families(
            request.get("status", "ALL"), prefix=request.get("familyPrefix", ""), after=after
        )
        page, token = take_page(families, size)
        return {"families": page, "nextToken": token}

    return await call.registry.read(look)


@operation("DeleteTaskDefinitions")
async def delete_task_definitions(call: Call) -> Answer:
    """INACTIVE revisions go to DELETE_IN_PROGRESS; whatever can't is a failure with its reason, at HTTP 200."""
    names = list(dict.fromkeys(call.request.get("taskDefinitions", ())))
    if not names:
        raise client_error("size of TaskDefinition references list must be greater than 0")
    if len(names) > MAX_DELETED:
        raise client_error(f"Size of TaskDefinition references list cannot exceed {MAX_DELETED}")
    keys: dict[str, str] = {}
    failures = []
    for name in names:
        reference = _reference(call, name)
        if not isinstance(reference, Reference):
            failures.append(failure_view(name, reference))
        elif reference.revision is None or reference.key is None:
            failures.append(failure_view(name, INVALID))
        else:
            keys[reference.key] = call.scope.task_definition(reference.family, reference.revision)
    deleted: DeletedTaskDefinitions = await call.registry.submit(
        DeleteTaskDefinitions(cause=call.cause, keys=tuple(keys))
    )
    failures += [failure_view(keys[key], reason) for key, reason in deleted.failures.items()]
    return {"taskDefinitions": [task_definition_view(item) for item in deleted.definitions], "failures": failures}


def _reference(call: Call, name: str) -> Reference | str:
    """What a batch names, or ECS's reason why it is nothing."""
    try:
        return parse_reference(name, call.scope)
    except Elsewhere:
        return MISSING
    except Refusal:
        return INVALID
