"""When an image is pulled, how often, and when it goes."""

import asyncio
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest

from awsorch.agent.engine import (
    CannotPullContainerError,
    DockerTimeoutError,
    EngineError,
    EngineUnavailableError,
    ImageFacts,
)
from awsorch.agent.images import ImageStock, PullError, credentials_for, digest_of, full_name
from awsorch.agent.registry_access import Access
from awsorch.agent.settings import EngineSettings
from tests.support import virtual_time


class Registry:
    """Images on a host and the registry behind it."""

    def __init__(self, *local: ImageFacts) -> None:
        self.local = {each.names[0]: each for each in local}
        self.failures: list[EngineError] = []
        self.inspect_failures: list[EngineError] = []
        self.pulls: list[str] = []
        self.logins: list[Mapping[str, str] | None] = []
        self.removed: list[str] = []

    async def pull(self, image: str, credentials: Mapping[str, str] | None) -> None:
        self.pulls.append(image)
        self.logins.append(credentials)
        await asyncio.sleep(1)
        if self.failures:
            raise self.failures.pop(0)
        self.local[image] = ImageFacts(id=image, digest="sha256:new", names=(image,))

    async def inspect_image(self, image: str) -> ImageFacts | None:
        if self.inspect_failures:
            raise self.inspect_failures.pop(0)
        return self.local.get(image)

    async def remove_image(self, image: str) -> None:
        self.removed.append(image)


BUILT = ImageFacts(id="1", names=("app",))
PULLED = ImageFacts(id="2", digest="sha256:old", names=("app",))
MISSING = CannotPullContainerError("manifest for app not found")
AWAY = CannotPullContainerError("dial tcp: connection refused", retriable=True)

Scenario = Callable[[ImageStock, Registry, virtual_time.VirtualTimeLoop], Awaitable[None]]


def play(behavior: str, registry: Registry, scenario: Scenario, pulled: set[str] | None = None) -> None:
    async def whole(loop: virtual_time.VirtualTimeLoop) -> None:
        settings = EngineSettings(pull_behavior=behavior)
        await scenario(ImageStock(registry, settings, loop.clock, pulled or set(), lambda _: None), registry, loop)

    virtual_time.run(whole)


@pytest.mark.parametrize(
    ("behavior", "local", "pulled_before", "pulls"),
    [
        ("default", None, False, 1),
        ("default", PULLED, False, 1),
        ("default", BUILT, False, 1),
        ("always", BUILT, False, 1),
        ("always", PULLED, True, 1),
        ("once", PULLED, False, 1),
        ("once", PULLED, True, 0),
        ("prefer-cached", PULLED, False, 0),
        ("prefer-cached", None, False, 1),
    ],
)
def test_when_it_is_pulled(behavior: str, local: ImageFacts | None, pulled_before: bool, pulls: int) -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        digest = await stock.make_ready("app")
        assert len(registry.pulls) == pulls
        assert digest == ("sha256:new" if pulls else local.digest if local else "")

    play(behavior, Registry(*([local] if local else [])), scenario, {"app"} if pulled_before else None)


@pytest.mark.parametrize(("behavior", "pulls"), [("default", 0), ("once", 0), ("prefer-cached", 0), ("always", 1)])
def test_what_is_named_by_its_digest_is_pulled_once(behavior: str, pulls: int) -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        name = "app:1@sha256:old"
        registry.local[name] = PULLED
        assert await stock.make_ready(name) == ("sha256:new" if pulls else "sha256:old")
        assert len(registry.pulls) == pulls

    play(behavior, Registry(), scenario)


@pytest.mark.parametrize(
    ("image", "digest"),
    [
        ("busybox", "sha256:1"),
        ("busybox:latest", "sha256:1"),
        ("docker.io/library/busybox:1", "sha256:1"),
        ("index.docker.io/busybox", "sha256:1"),
        ("quay.io/tools/busybox:1", "sha256:2"),
        ("localhost:5000/busybox:1", "sha256:3"),
        ("localhost:5000/other", ""),
        ("tools/busybox", ""),
        ("tools/busybox:1@sha256:9", "sha256:9"),
    ],
)
def test_an_image_has_the_digest_that_its_own_registry_gave_it(image: str, digest: str) -> None:
    known_as = ["busybox@sha256:1", "quay.io/tools/busybox@sha256:2", "localhost:5000/busybox@sha256:3"]
    assert digest_of(image, known_as) == digest
    assert digest_of(image, ()) == (digest if "@" in image else "")


def test_many_tasks_share_one_pull() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        await asyncio.gather(*(stock.make_ready("app") for _ in range(20)))
        assert registry.pulls == ["app"]

    play("default", Registry(), scenario)


def test_a_registry_that_is_away_is_tried_five_times() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [AWAY] * 5
        with pytest.raises(PullError) as caught:
            await stock.make_ready("app")
        assert len(registry.pulls) == 5
        assert caught.value.reason == (
            "CannotPullContainerError: The task can’t pull the image. Check your network configuration. "
            "dial tcp: connection refused"
        )
        assert not caught.value.fatal

    play("default", Registry(), scenario)


@pytest.mark.parametrize("local", [PULLED, BUILT])
@pytest.mark.parametrize("failure", [AWAY, MISSING, DockerTimeoutError("no progress")])
def test_what_cannot_be_pulled_is_used_as_it_is_here(local: ImageFacts, failure: EngineError) -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [failure]
        assert await stock.make_ready("app") == "", "nobody said that the name still stands for it"
        assert len(registry.pulls) == 1

    play("default", Registry(local), scenario)


def test_a_registry_out_of_reach_is_not_asked_for_a_minute() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [AWAY]
        for _ in range(3):
            assert await stock.make_ready("app") == ""
        assert registry.pulls == ["app"]
        assert await stock.make_ready("missing") == "sha256:new"
        assert await stock.make_ready("app") == "sha256:new"
        assert registry.pulls == ["app", "missing", "app"], "it answered again, so it is asked again"
        registry.failures = [AWAY, AWAY]
        for _ in range(2):
            await stock.make_ready("app")
            await asyncio.sleep(60)
        assert len(registry.pulls) == 5

    play("default", Registry(PULLED), scenario)


def test_each_registry_is_out_of_reach_for_itself() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [AWAY]
        await stock.make_ready("app")
        assert await stock.make_ready("quay.io/x/app") == "sha256:new"
        assert registry.pulls == ["app", "quay.io/x/app"]

    other = ImageFacts(id="3", digest="sha256:old", names=("quay.io/x/app",))
    play("default", Registry(PULLED, other), scenario)


def test_a_refusal_does_not_mean_that_the_registry_is_out_of_reach() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [MISSING]
        assert await stock.make_ready("app") == ""
        assert await stock.make_ready("app") == "sha256:new"

    play("default", Registry(BUILT), scenario)


def test_an_engine_that_is_away_is_waited_for() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [EngineUnavailableError("connection refused")] * 20
        assert await stock.make_ready("app") == "sha256:new"

    play("always", Registry(), scenario)


def test_an_engine_that_is_away_does_not_hide_a_local_image() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.inspect_failures = [EngineUnavailableError("connection refused")] * 3
        assert await stock.make_ready("app") == ""
        assert registry.pulls == []

    play("prefer-cached", Registry(BUILT), scenario)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("manifest for app not found", "Check whether the image exists."),
        ("pull access denied", "Check that the role has the permissions to pull images from the registry."),
    ],
)
def test_a_refusal_is_final_and_says_what_to_check(words: str, hint: str) -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [CannotPullContainerError(words)]
        with pytest.raises(PullError) as caught:
            await stock.make_ready("app")
        assert caught.value.reason == f"CannotPullContainerError: The task can’t pull the image. {hint} {words}"
        assert caught.value.fatal
        assert len(registry.pulls) == 1

    play("always", Registry(BUILT), scenario)


def test_images_go_when_nobody_has_used_them_for_an_hour() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        for image in ("used", "idle"):
            stock.use(image)
            await stock.make_ready(image)
        stock.release("idle")
        assert await stock.clean() == []
        await asyncio.sleep(3601)
        assert await stock.clean() == ["idle"] == registry.removed

    play("default", Registry(), scenario)


def test_images_that_a_former_life_pulled_go_as_well_an_hour_after_the_start() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        assert await stock.clean() == []
        await asyncio.sleep(3601)
        assert await stock.clean() == ["app"]
        assert await stock.clean() == []

    play("default", Registry(PULLED), scenario, {"app", "gone"})


def test_so_many_images_go_at_once_and_what_is_gone_already_does_not_count() -> None:
    names = {f"app-{number}" for number in range(7)}

    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        await stock.clean()
        await asyncio.sleep(3601)
        assert len(await stock.clean()) == 5
        assert len(await stock.clean()) == 2

    play("default", Registry(*(ImageFacts(id=each, names=(each,)) for each in names)), scenario, {*names, "a-gone"})


def test_what_stands_in_for_ecr_is_not_shown_ecr_s_login() -> None:
    asked: list[str] = []

    async def token() -> Mapping[str, str]:
        asked.append("ECR")
        return {"username": "AWS", "password": "token"}

    async def whole(loop: virtual_time.VirtualTimeLoop) -> None:
        own = '{"mirror:5000": {"username": "u", "password": "p"}}'
        settings = EngineSettings(ecr_registry="mirror:5000", auth_type="docker", auth_data=own)
        registry = Registry()
        stock = ImageStock(registry, settings, loop.clock, set(), lambda _: None)
        name = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:1"
        await stock.make_ready(name, Access("ecr", token))
        assert (registry.logins, asked) == ([{"username": "u", "password": "p"}], [])
        await stock.make_ready("quay.io/app:1", Access("ecr", token))
        assert (registry.logins[1:], asked) == ([{"username": "AWS", "password": "token"}], ["ECR"])

    virtual_time.run(whole)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("docker.io/library/busybox:1.36", "docker.io/library/busybox:1.36"),
        ("localhost:5000/team/app", "localhost:5000/team/app:latest"),
        ("app@sha256:1f", "docker.io/library/app@sha256:1f"),
    ],
)
def test_an_image_s_full_name(image: str, name: str) -> None:
    assert full_name(image) == name


def test_images_that_were_not_pulled_here_stay() -> None:
    async def scenario(stock: ImageStock, registry: Registry, _: virtual_time.VirtualTimeLoop) -> None:
        registry.failures = [MISSING]
        stock.use("app")
        await stock.make_ready("app")
        stock.release("app")
        await asyncio.sleep(3601)
        assert await stock.clean() == []

    play("default", Registry(BUILT), scenario)


def test_registry_credentials() -> None:
    settings = EngineSettings(
        auth_type="docker",
        auth_data='{"https://index.docker.io/v1/": {"username": "u", "password": "p", "email": "e"}}',
    )
    assert credentials_for("nginx", settings) == {"username": "u", "password": "p", "email": "e"}
    assert credentials_for("quay.io/x/y", settings) is None
    auth = b64encode(b"me:secret").decode()
    old_form = replace(settings, auth_type="dockercfg", auth_data=f'{{"quay.io": {{"auth": "{auth}"}}}}')
    assert credentials_for("quay.io/x/y:1", old_form) == {"username": "me", "password": "secret"}
    assert credentials_for("nginx", EngineSettings()) is None
    assert credentials_for("nginx", EngineSettings(auth_data="{")) is None


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("docker", "[1]"),
        ("docker", '{"docker.io": "me"}'),
        ("docker", '{"docker.io": null}'),
        ("dockercfg", '{"docker.io": {"auth": "no base64"}}'),
        ("dockercfg", '{"docker.io": {"auth": 7}}'),
        ("dockercfg", '{"docker.io": {"auth": "/w=="}}'),
    ],
)
def test_authentication_data_of_another_form_are_not_used(kind: str, data: str) -> None:
    assert credentials_for("nginx", EngineSettings(auth_type=kind, auth_data=data)) is None
