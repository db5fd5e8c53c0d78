"""The user data of machines that managed providers launch: one text for all clusters, with the cluster's name put in.

``awsorch userdata`` prints such texts; whatever else writes ``ECS_CLUSTER=<name>`` into the agent's settings will do.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from awsorch.adapters.aws import AwsError

UserData = Callable[[str], str]
"""Of machines of a cluster: the text that makes them join it. Raises AwsError, refused, where there is none."""

#: Bytes of user data that EC2 takes, before base64.
LIMIT_BYTES = 16 * 1024
#: The longest name that a cluster can have.
_LONGEST_NAME = 255
_CLUSTER = re.compile(r"""\bECS_CLUSTER=(?:"[^"\n]*"|'[^'\n]*'|[\w:/.-]*)(?=[\s'";]|$)""")


def joining(text: str) -> UserData:
    """User data of any cluster, made of one cluster's. Raises ValueError, with what would be right, where the text
    names no cluster or is too long for EC2."""
    if _CLUSTER.search(text) is None:
        raise ValueError("it should set ECS_CLUSTER=<name> in plain text, as `awsorch userdata` prints it")

    def user_data(cluster: str) -> str:
        return _CLUSTER.sub(lambda _: f"ECS_CLUSTER={cluster}", text)

    size = len(user_data("c" * _LONGEST_NAME).encode())
    if size > LIMIT_BYTES:
        raise ValueError(f"it has {size} bytes with a long cluster name, and EC2 takes {LIMIT_BYTES}")
    return user_data


def no_user_data(cluster: str) -> str:
    """What refuses to launch machines that could not join: raises AwsError."""
    message = (
        f"There is no user data with which instances could join cluster {cluster}: AWSORCH_USER_DATA should name a "
        "file that `awsorch userdata` has written."
    )
    raise AwsError("ClientException", message, refused=True)
