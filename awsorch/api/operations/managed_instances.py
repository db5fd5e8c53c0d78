"""``managedInstancesProvider``: what may be said there, with every default filled in.

Source: ECS API, CreateManagedInstancesProviderConfiguration, InstanceLaunchTemplate; developer guide, "Amazon ECS
Managed Instances capacity providers".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from awsorch.core.capacity.requirements import check
from awsorch.core.errors import client_error, invalid_parameter, unsupported

Members = Mapping[str, Any]

SMALLEST_GIB, LARGEST_GIB, DEFAULT_GIB = 30, 16384, 80
MOST_SUBNETS, MOST_SECURITY_GROUPS = 16, 5
#: A machine that nothing needs is kept for this long at most; -1 is for ever. Seconds.
NEVER, LONGEST_IDLE_S = -1, 3600
_ROLE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:role/[\w+=,.@/-]+")
_PROFILE = re.compile(r"arn:[a-z-]+:iam::[0-9]{12}:instance-profile/[\w+=,.@/-]+")
_PROVIDER_DEFAULTS: Members = {"propagateTags": "NONE"}
_TEMPLATE_DEFAULTS: Members = {
    "storageConfiguration": {"storageSizeGiB": DEFAULT_GIB},
    "monitoring": "BASIC",
    "capacityOptionType": "ON_DEMAND",
}


def read_managed(given: Members) -> Members:
    """The configuration of a new provider.

    Raises ClientException for what can't be, UnsupportedFeatureException for what this version does not do.
    """
    template = {**_TEMPLATE_DEFAULTS, **given["instanceLaunchTemplate"]}
    return _checked({**_PROVIDER_DEFAULTS, **given, "instanceLaunchTemplate": template})


def change_managed(known: Members, given: Members) -> Members:
    """The configuration with the members of an update in their place. Raises like ``read_managed``."""
    template = {**known["instanceLaunchTemplate"], **given["instanceLaunchTemplate"]}
    return _checked({**known, **given, "instanceLaunchTemplate": template})


def _checked(managed: Members) -> Members:
    template = managed["instanceLaunchTemplate"]
    if not _ROLE.fullmatch(managed["infrastructureRoleArn"]):
        raise _invalid("infrastructureRoleArn", "must be the ARN of an IAM role")
    if not _PROFILE.fullmatch(template["ec2InstanceProfileArn"]):
        raise _invalid("ec2InstanceProfileArn", "must be the ARN of an IAM instance profile")
    _check_network(template["networkConfiguration"])
    _check_storage(template)
    _check_capacity_option(template)
    if "instanceRequirements" in template:
        check(template["instanceRequirements"])
    wait = managed.get("infrastructureOptimization", {}).get("scaleInAfter")
    if wait is not None and not NEVER <= wait <= LONGEST_IDLE_S:
        raise _invalid("scaleInAfter", f"must be between {NEVER} and {LONGEST_IDLE_S}, but was {wait}")
    return managed


def _check_network(network: Members) -> None:
    subnets, groups = network.get("subnets", ()), network.get("securityGroups", ())
    if not subnets:
        raise invalid_parameter("subnets can not be empty.")
    if len(subnets) > MOST_SUBNETS:
        raise invalid_parameter(f"subnets can have at most {MOST_SUBNETS} items.")
    if len(groups) > MOST_SECURITY_GROUPS:
        raise invalid_parameter(f"securityGroups can have at most {MOST_SECURITY_GROUPS} items.")


def _check_storage(template: Members) -> None:
    size = template["storageConfiguration"].get("storageSizeGiB", DEFAULT_GIB)
    if not SMALLEST_GIB <= size <= LARGEST_GIB:
        raise _invalid("storageSizeGiB", f"must be between {SMALLEST_GIB} and {LARGEST_GIB}, but was {size}")


def _check_capacity_option(template: Members) -> None:
    option = template["capacityOptionType"]
    if template.get("capacityReservations") and option != "RESERVED":
        raise _invalid("capacityReservations", "needs the capacityOptionType RESERVED")
    if option == "RESERVED":
        raise unsupported(
            "The capacityOptionType RESERVED is not supported by this version of awsorch. Use ON_DEMAND or SPOT."
        )
    if template.get("fipsEnabled"):
        raise unsupported("FIPS (fipsEnabled) is not supported by this version of awsorch.")


def _invalid(member: str, why: str) -> Exception:
    return client_error(f"The managedInstancesProvider is not valid: {member} {why}.")
