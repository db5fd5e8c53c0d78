"""What a person reads when something goes wrong: one line that says what, and what would be right.

Everything that a command cannot do ends here as a `Fault` (exit code 1) or as click's own UsageError (exit code 2); an
answer of the API or a missing connection never shows a traceback. A traceback is left for mistakes of this program.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import IO, Any

import click
from click.utils import echo


class Fault(click.ClickException):
    """A command could not do what was asked. `message` is one line, or one line for each thing wrong."""

    exit_code = 1

    def show(self, file: IO[Any] | None = None) -> None:
        for line in self.message.splitlines():
            echo(f"awsorch: {line}", file=file, err=file is None)


def explain(error: Exception) -> Fault | None:
    """The fault that a botocore exception stands for, or None for any other exception."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        return Fault(describe_refusal(error.response.get("Error", {})))
    if isinstance(error, (exceptions.ConnectionError, exceptions.HTTPClientError)):
        return Fault(f"nothing answers at {error.kwargs.get('endpoint_url', 'the endpoint')}: is awsorch up?")
    if isinstance(error, exceptions.BotoCoreError):
        return Fault(" ".join(str(error).split()))
    return None


def describe_refusal(error: Mapping[str, Any]) -> str:
    """An error answer of the API in one line: its code and its message."""
    message = " ".join(str(error.get("Message", "")).split())
    return f"{error.get('Code', 'Unknown')}: {message or 'the API gave no message'}"
