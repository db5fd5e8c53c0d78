"""A template and those of its nested stacks, transformed, with the nested ones in S3.

What the transform leaves as it is keeps its bytes and its URL, so that what has nothing of ECS passes untouched and a
deployment without changes stays one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from awsorch.cfn.fragments import TransformError, resources_of
from awsorch.cfn.transform import TransformSettings, transform, written
from awsorch.cli.cfn_store import TemplateStore
from awsorch.local.stacks.documents import read_template
from awsorch.local.stacks.errors import StackRefused, TemplateError
from awsorch.local.stacks.intrinsics import Evaluation, Surroundings
from awsorch.local.stacks.parameters import Given, settle, typed
from awsorch.local.stacks.template import Template

NESTED = {"AWS::CloudFormation::Stack": "TemplateURL", "AWS::Serverless::Application": "Location"}
"""Types whose property is another template."""
Pseudo = Callable[[], Mapping[str, Any]]
"""Pseudo parameters as far as they are known before there is a stack; may ask AWS for the account."""

Values = Callable[[], Mapping[str, Any]]
"""Parameters' values, asked for where there are nested stacks; None for one that has a value which is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a template comes from: its name for people, and its file or its URL in S3, or neither."""

    name: str
    file: Path | None = None
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """A template's text as it is to be deployed, whether it is another than before, and what its author should know."""

    text: str
    changed: bool
    warnings: tuple[str, ...] = ()


def transformed(text: str, settings: TransformSettings) -> Packaged:
    """One template without its nested ones. Raises TransformError, also for what is no template."""
    document = read(text)
    done = transform(document, settings)
    changed = done.template != document
    return Packaged(text=written(done.template) if changed else text, changed=changed, warnings=done.warnings)


class Packager:
    """Transforms templates with all that they nest. Methods raise TransformError."""

    def __init__(self, settings: TransformSettings, store: TemplateStore, pseudo: Pseudo) -> None:
        self._settings = settings
        self._store = store
        self._pseudo = pseudo

    def package(self, text: str, origin: Origin, parameters: Values) -> Packaged:
        """The template for awsorch; `parameters` count where a URL is made of them."""
        return self._package(text, origin, parameters, ())

    def _package(self, text: str, origin: Origin, parameters: Values, around: tuple[Origin, ...]) -> Packaged:
        if origin in around:
            circle = " → ".join(each.name for each in (*around[around.index(origin) :], origin))
            raise TransformError(f"Templates nest each other in a circle: {circle}")
        document = read(text)
        done = transform(document, self._settings)
        template, warnings = done.template, list(done.warnings)
        nested = [(logical, each) for logical, each in resources_of(template) if _template_of(each) is not None]
        if nested:
            known = _Known(template, parameters(), self._pseudo() if "AWS::" in text else {})
            for logical, resource in nested:
                try:
                    said = self._nest(resource, known, origin, (*around, origin))
                except (TransformError, TemplateError) as error:
                    raise TransformError(f"Resource {logical}: {error}") from None
                warnings += [f"Resource {logical}: {each}" for each in said]
        changed = template != document
        return Packaged(text=written(template) if changed else text, changed=changed, warnings=tuple(warnings))

    def _nest(
        self, resource: dict[str, Any], known: _Known, origin: Origin, around: tuple[Origin, ...]
    ) -> tuple[str, ...]:
        """Let a nested stack have the transformed template."""
        name, properties = NESTED[resource["Type"]], resource["Properties"]
        url = known.value(properties[name])
        if isinstance(url, Mapping):
            return (f"its {name} is an application of a repository, which is not looked into.",)
        if not isinstance(url, str):
            raise TransformError(f"{name} must be a text.")
        child = _origin(url, origin)
        text = _text(child.file) if child.file is not None else self._store.read(child.url)
        given = known.values(_mapping(properties.get("Parameters")))
        packaged = self._package(text, child, lambda: given, around)
        if packaged.changed or child.file is not None:
            properties[name] = self._store.write(packaged.text, child.url)
        return packaged.warnings


class _Known:
    """What a template's functions come to before anything is made."""

    def __init__(self, template: Mapping[str, Any], given: Mapping[str, Any], pseudo: Mapping[str, Any]) -> None:
        valued = {
            name: each
            for name, each in _mapping(template.get("Parameters")).items()
            if isinstance(each, Mapping) and "Type" in each and given.get(name, each.get("Default")) is not None
        }
        outline = Template(
            text="",
            description="",
            parameters=valued,
            mappings=_mapping(template.get("Mappings")),
            conditions=_mapping(template.get("Conditions")),
            resources={},
            outputs={},
            rules={},
            metadata={},
            transforms=(),
        )
        try:
            texts = {name: Given(value=str(given[name])) for name in valued if name in given}
            values = typed(outline, settle(outline, texts, {}), {})
        except StackRefused as error:
            raise TransformError(error.message) from None
        self._evaluate = Evaluation(outline, Surroundings(parameters=values, pseudo=pseudo), _Nothing()).evaluate

    def value(self, value: Any) -> Any:
        """Raises TemplateError for what only a call or a stack could tell."""
        if isinstance(value, str):
            return value
        try:
            return self._evaluate(value)
        except TemplateError as error:
            said = "the nested template can't be found before the stack is there; write its URL as text, or with "
            said += "parameters whose values are given"
            raise TransformError(f"{said}: {error.message}") from None

    def values(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """A nested stack's parameters; None where only a stack could tell."""
        found: dict[str, Any] = {}
        for name, value in parameters.items():
            try:
                known = self._evaluate(value)
            except TemplateError:
                known = None
            found[name] = ",".join(map(str, known)) if isinstance(known, list) else known
        return found


class _Nothing:
    """Implements Deployed: there is no stack yet."""

    def ref(self, logical_id: str) -> Any:
        raise TemplateError(f"{logical_id} is not there yet.")

    def attribute(self, logical_id: str, name: str) -> Any:
        raise TemplateError(f"{logical_id}.{name} is not there yet.")


def _template_of(resource: Mapping[str, Any]) -> Any:
    """What says where a nested stack's template is; None for anything else."""
    name, properties = NESTED.get(resource["Type"]), resource.get("Properties")
    return properties.get(name) if name is not None and isinstance(properties, Mapping) else None


def _origin(url: str, outer: Origin) -> Origin:
    if url.startswith(("https://", "http://", "s3://")):
        return Origin(name=url, url=url)
    if outer.file is None:
        raise TransformError(f"{url} is not the URL of an S3 object, and a file's path only means something to a file.")
    file = (outer.file.parent / url.removeprefix("file://")).resolve()
    return Origin(name=str(file), file=file)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TransformError(f"{file} can't be read: {error}") from None


def read(text: str) -> dict[str, Any]:
    """A template in its long form. Raises TransformError for what is none."""
    try:
        return read_template(text)
    except TemplateError as error:
        raise TransformError(error.message) from None


def _mapping(section: Any) -> Mapping[str, Any]:
    return section if isinstance(section, Mapping) else {}
