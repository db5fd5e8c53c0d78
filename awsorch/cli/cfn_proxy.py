"""`awsorch cfn proxy`: CloudFormation's endpoint for tools that know nothing of awsorch, as the AWS CLI and the CDK.

It listens on this machine only, and under a path that nobody can guess: whoever calls it acts with the credentials of
whoever started it. It passes on everything but the templates of calls, which it transforms.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import re
import secrets
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import click

from awsorch.cli.cfn_options import Account, connecting, transforming
from awsorch.cli.faults import Fault

if TYPE_CHECKING:
    from aiohttp import web

    from awsorch.cfn.transform import TransformSettings
    from awsorch.cli.cfn_options import Bucket
    from awsorch.cli.cfn_rewriting import Answer, Rewriting

VARIABLE = "AWS_ENDPOINT_URL_CLOUDFORMATION"
DEFAULT_PORT = 4567
_SCOPE = re.compile(r"Credential=[^/,\s]+/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request")
#: What belongs to the client's own connection and signature.
_NOT_PASSED = frozenset(
    {
        *("accept-encoding", "authorization", "connection", "content-encoding", "content-length", "expect", "host"),
        *("keep-alive", "te", "trailer", "transfer-encoding", "upgrade"),
        *("x-amz-content-sha256", "x-amz-date", "x-amz-security-token"),
    }
)


@click.command("proxy", context_settings={"allow_interspersed_args": False})
@click.option("--port", type=click.IntRange(0, 65535), help=f"[default: {DEFAULT_PORT}; a free one for a COMMAND]")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@transforming
@connecting
def proxy_command(
    port: int | None, command: Sequence[str], settings: TransformSettings, account: Account, bucket: Bucket
) -> None:
    """An endpoint of CloudFormation that makes the templates of every call templates of awsorch.

    With a COMMAND, such as `-- aws cloudformation deploy …` or `-- cdk deploy`, it runs that with the endpoint in its
    environment, and ends with its exit code. Without, it says what to export and runs until Ctrl-C. Calls are signed
    with the credentials that this command finds.
    """
    from awsorch.cli.cfn_rewriting import Rewriting

    if account.boto.get_credentials() is None:
        raise Fault("no credentials of AWS are configured; the proxy signs what it passes on.")
    rewriting = Rewriting(settings, account, bucket, _tell)
    chosen = port if port is not None else 0 if command else DEFAULT_PORT
    try:
        code = asyncio.run(_run(rewriting, chosen, command))
    except OSError as error:
        raise Fault(str(error)) from None
    raise SystemExit(code)


async def _run(rewriting: Rewriting, port: int, command: Sequence[str]) -> int:
    async with serving(rewriting, port) as url:
        if not command:
            interrupted = _interruption()
            click.echo(f"CloudFormation for awsorch is here until Ctrl-C:\n  export {VARIABLE}={url}")
            await interrupted.wait()
            return 0
        loop = asyncio.get_running_loop()
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, VARIABLE: url})
        # A terminal's Ctrl-C reaches the command as well, which decides what becomes of it.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        loop.add_signal_handler(signal.SIGTERM, process.terminate)
        code = await process.wait()
        return code if code >= 0 else 128 - code


def _interruption() -> asyncio.Event:
    """Is set by Ctrl-C, and by whoever ends the process."""
    stop = asyncio.Event()
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(each, stop.set)
    return stop


@asynccontextmanager
async def serving(rewriting: Rewriting, port: int) -> AsyncIterator[str]:
    """The URL of the proxy, while it is there. Raises OSError where the port is taken."""
    from aiohttp import web

    secret = secrets.token_urlsafe(24)
    runner = web.ServerRunner(web.Server(_Handler(rewriting, secret)))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/{secret}"
    finally:
        await runner.cleanup()


class _Handler:
    """Answers requests."""

    def __init__(self, rewriting: Rewriting, secret: str) -> None:
        self._rewriting = rewriting
        self._secret = secret

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        from aiohttp import web

        if not hmac.compare_digest(request.path.strip("/").encode(), self._secret.encode()):
            return await _refusal(
                request, 403, "AccessDenied", f"this is not the URL that the proxy told: set {VARIABLE} to that."
            )
        scope = _SCOPE.search(request.headers.get("Authorization", ""))
        if request.method != "POST" or scope is None or scope[2] != "cloudformation":
            said = f"calls of CloudFormation are POST here and signed, and no other service's: set only {VARIABLE}."
            return await _refusal(request, 400, "InvalidAction", said)
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED}
        answer = await asyncio.to_thread(_refusing, lambda: self._passed(headers, body, scope[1]))
        if not isinstance(answer, tuple):
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED}
            return web.Response(status=answer.status, headers=kept, body=answer.content)
        return await _refusal(request, *answer)

    def _passed(self, headers: dict[str, str], body: bytes, region: str) -> Answer:
        form = dict(parse_qsl(body.decode(), keep_blank_values=True))
        return self._rewriting.send(headers, self._rewriting.rewritten(form, region), region)


def _refusing(call: Callable[[], Answer]) -> Answer | tuple[int, str, str]:
    """What a call answers, or the error (status, code, message) that CloudFormation's clients are to see."""
    from botocore.exceptions import BotoCoreError, ClientError

    from awsorch.cfn.fragments import TransformError

    try:
        return call()
    except (TransformError, UnicodeDecodeError) as error:
        return 400, "ValidationError", str(error)
    except ClientError as error:
        said: dict[str, Any] = dict(error.response["Error"])
        return 400, said.get("Code", "ValidationError"), said.get("Message", "")
    except BotoCoreError as error:
        return 503, "ServiceUnavailable", " ".join(str(error).split())


async def _refusal(request: web.BaseRequest, status: int, code: str, message: str) -> web.Response:
    from aiohttp import web

    from awsorch.local.service_call import read_call
    from awsorch.local.service_errors import ServiceError, write_error

    _tell(f"refused: {message}")
    error = ServiceError(status=status, code=code, message=f"awsorch: {message}")
    body = await request.read()
    call = read_call(request.method, request.path, request.headers, request.rel_url.raw_query_string, body)
    answer = write_error(error, call.protocol, str(uuid.uuid4()))
    return web.Response(status=status, headers=answer.headers, body=answer.body)


def _tell(line: str) -> None:
    click.echo(f"awsorch: {line}", err=True)
