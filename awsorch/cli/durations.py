"""Lengths and points of time as people type them: 90s, 10m, 2h, 1d, or a time in ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import click

AGE = re.compile(r"(\d{1,8})(s|m|h|d)?")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_since(ctx: click.Context, option: click.Parameter, value: str | None) -> datetime | None:
    """A point in time, from ISO 8601 or from an age such as 90s, 10m, 2h, 1d."""
    if value is None:
        return None
    try:
        age = read_age(value)
        return datetime.now(UTC) - age if age is not None else datetime.fromisoformat(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is neither an age (90s, 10m, 2h, 1d) nor a time (2024-05-01T12:00:00Z)", ctx, option
        ) from None


def parse_seconds(ctx: click.Context, option: click.Parameter, value: str | None) -> float | None:
    """A length of time in seconds, from 90s, 10m, 2h, 1d; a bare number counts seconds; None for nothing."""
    if value is None:
        return None
    age = read_age(value)
    if age is None:
        raise click.BadParameter(f"{value!r} is not a length of time such as 90s, 10m or 1h", ctx, option)
    return age.total_seconds()


def read_age(text: str) -> timedelta | None:
    """The length of time that a text says; None where it says none."""
    age = AGE.fullmatch(text)
    return timedelta(**{UNITS[age[2] or "s"]: int(age[1])}) if age else None
