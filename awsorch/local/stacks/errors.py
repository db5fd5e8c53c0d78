"""What is wrong with a template or a call, with CloudFormation's own code and words."""

from __future__ import annotations

from awsorch.local.query_protocol import QueryRefused


class StackRefused(QueryRefused):
    """A call is refused; the code is "ValidationError" unless it says otherwise."""

    def __init__(self, message: str, code: str = "ValidationError", status: int = 400) -> None:
        super().__init__(code, message, status)
        self.message = message


class TemplateError(StackRefused):
    """A template can't be used as it is."""
