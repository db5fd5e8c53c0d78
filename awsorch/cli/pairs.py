"""Names with values as people type them: a=b,c=d, in one option or in several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click


def parse_pairs(what: str, example: str) -> Callable[[click.Context, click.Parameter, Sequence[str]], dict[str, str]]:
    """A callback for an option that may be given more than once; ``what`` and ``example`` are for who gets it wrong."""

    def parse(ctx: click.Context, option: click.Parameter, values: Sequence[str]) -> dict[str, str]:
        found: dict[str, str] = {}
        for item in (item for value in values for item in value.split(",") if item):
            name, equals, value = (part.strip() for part in item.partition("="))
            if not equals or not name or not value:
                raise click.BadParameter(f"{item!r} is not {what} with its value, such as {example}", ctx, option)
            if found.setdefault(name, value) != value:
                raise click.BadParameter(f"{name} is given twice: {found[name]!r} and {value!r}", ctx, option)
        return found

    return parse


def attributes_option(help_text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """`--attributes NAME=VALUE,…`, as a dictionary."""
    return click.option(
        "--attributes",
        multiple=True,
        metavar="NAME=VALUE,…",
        callback=parse_pairs("an attribute", "rack=a1"),
        help=help_text,
    )
