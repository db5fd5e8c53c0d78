"""A registry of images, in memory: enough of the distribution API for an engine to pull from it."""

from __future__ import annotations

import hashlib
import io
import json
import socket
import tarfile
from base64 import b64encode
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from docker import APIClient

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_LAYER = "application/vnd.docker.image.rootfs.diff.tar"


class ImageRegistry:
    """Serves what was pushed on a port of this machine, or at a ``listener``, with ``login`` only to whoever shows it.
    Use as an async context manager; ``asked`` has the references of the manifests that were asked for."""

    def __init__(self, login: tuple[str, str] | None = None, listener: socket.socket | None = None) -> None:
        self._login = login
        self._listener = listener
        self.host = ""
        self.asked: list[str] = []
        self._blobs: dict[str, bytes] = {}
        self._tags: dict[str, str] = {}
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> ImageRegistry:
        app = web.Application(middlewares=[self._admit])
        app.router.add_get("/v2/", self._ping)
        app.router.add_get("/v2/{name:.+}/manifests/{reference}", self._manifest)
        app.router.add_get("/v2/{name:.+}/blobs/{digest}", self._blob)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        listener = self._listener or socket.create_server(("127.0.0.1", 0))
        await web.SockSite(self._runner, listener).start()
        self.host = "{}:{}".format(*self._runner.addresses[0][:2])
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def push(self, docker: APIClient, image: str, tag: str, **config: Any) -> str:
        """Have the tag, of any repository, stand for the engine's image with this in its configuration. Its digest."""
        saved = io.BytesIO(b"".join(docker.get_image(image)))
        with tarfile.open(fileobj=saved) as archive:

            def read(name: str) -> bytes:
                member = archive.extractfile(name)
                assert member is not None
                return member.read()

            (entry,) = json.loads(read("manifest.json"))
            document = json.loads(read(entry["Config"]))
            layers = [self._keep(read(name), _LAYER) for name in entry["Layers"]]
        document["config"] = {**document.get("config", {}), **config}
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": self._keep(json.dumps(document).encode(), _CONFIG),
            "layers": layers,
        }
        digest = str(self._keep(json.dumps(manifest).encode(), _MANIFEST)["digest"])
        self._tags[tag] = digest
        return digest

    @web.middleware
    async def _admit(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Basic authentication, as registries ask for it."""
        if self._login is not None:
            wanted = "Basic " + b64encode(":".join(self._login).encode()).decode()
            if request.headers.get("Authorization") != wanted:
                refusal = {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}
                return web.json_response(refusal, status=401, headers={"WWW-Authenticate": 'Basic realm="images"'})
        return await handler(request)

    def _keep(self, content: bytes, kind: str) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._blobs[digest] = content
        return {"mediaType": kind, "size": len(content), "digest": digest}

    async def _ping(self, _: web.Request) -> web.Response:
        return web.json_response({})

    async def _manifest(self, request: web.Request) -> web.Response:
        reference = request.match_info["reference"]
        if request.method == "GET":
            self.asked.append(reference)
        digest = self._tags.get(reference, reference)
        return self._answer(digest, _MANIFEST)

    async def _blob(self, request: web.Request) -> web.Response:
        return self._answer(request.match_info["digest"], "application/octet-stream")

    def _answer(self, digest: str, kind: str) -> web.Response:
        content = self._blobs.get(digest)
        if content is None:
            unknown = {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]}
            return web.json_response(unknown, status=404)
        return web.Response(body=content, content_type=kind, headers={"Docker-Content-Digest": digest})
