"""A whole controller, gateway and all, on a thread's event loop: with access keys, so that signatures count."""

from __future__ import annotations

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from awsorch.app import App
from awsorch.settings import Settings

T = TypeVar("T")
OPERATOR = ("AKIDOPERATOR", "an operator's secret")
REGION = "us-east-1"


class ServedApp:
    """``url`` is where it listens; ``ecs`` a boto3 client with the operator's key."""

    def __init__(self, data: Path, **settings: Any) -> None:
        given = {"port": 0, "data_dir": data, "region": REGION, "access_keys": dict([OPERATOR]), **settings}
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="served app", daemon=True)
        self._thread.start()
        self.app = self.run(self._start(Settings(**given)))
        self.url = f"http://127.0.0.1:{self.app.port}"
        self.ecs = self.client(*OPERATOR)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's loop and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def client(self, access_key_id: str, secret_access_key: str) -> Any:
        """A boto3 client of it that does not try again."""
        return _session().client(
            "ecs",
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=access_key_id,
            aws_secret_access_key=secret_access_key,
            config=Config(retries={"total_max_attempts": 1}),
        )

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, key: tuple[str, str] | None = OPERATOR
    ) -> tuple[int, dict[str, Any]]:
        """Status and answer of one of awsorch's own paths; without a key the request is not signed."""
        data = json.dumps(body).encode() if body is not None else b""
        request = AWSRequest(method=method, url=self.url + path, data=data)
        if key is not None:
            SigV4Auth(Credentials(*key), "ecs", REGION).add_auth(request)
        prepared = urllib.request.Request(
            self.url + path, data=data or None, headers=dict(request.headers), method=method
        )
        try:
            with urllib.request.urlopen(prepared, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)

    def close(self) -> None:
        """Stop everything."""
        self.run(self.app.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    @staticmethod
    async def _start(settings: Settings) -> App:
        app = App(settings)
        await app.start()
        return app


@cache
def _session() -> Any:
    """One for all clients: to read botocore's model takes longer than most tests."""
    return boto3.session.Session()


@contextmanager
def served_app(data: Path, **settings: Any) -> Iterator[ServedApp]:
    """A served controller, stopped at the end."""
    served = ServedApp(data, **settings)
    try:
        yield served
    finally:
        served.close()
