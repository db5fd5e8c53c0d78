"""How commands print: tables with colours on a terminal, aligned plain text in a pipe, JSON for machines.

Plain text is never cut to a width, so that `grep` and `awk` see whole values. JSON has the API's own shapes; points in
time are ISO 8601 with their offset.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import click

GOOD, BUSY, BAD, GONE = "green", "yellow", "bold red", "dim"
STYLES = {
    "RUNNING": GOOD,
    "ACTIVE": GOOD,
    "HEALTHY": GOOD,
    "connected": GOOD,
    "PROVISIONING": BUSY,
    "PENDING": BUSY,
    "ACTIVATING": BUSY,
    "DEACTIVATING": BUSY,
    "STOPPING": BUSY,
    "DEPROVISIONING": BUSY,
    "DRAINING": BUSY,
    "UNHEALTHY": BAD,
    "disconnected": BAD,
    "STOPPED": GONE,
    "INACTIVE": GONE,
    "UNKNOWN": GONE,
}
NOTHING = "-"
GAP = "   "
TEXT_WIDTH = 110


@dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    """Prints what a command found out, in the form that the reader at the other end can use."""

    as_json: bool = False

    def show_json(self, value: Any) -> None:
        """Print an answer of the API as it is, without botocore's ResponseMetadata."""
        if isinstance(value, dict):
            value = {key: item for key, item in value.items() if key != "ResponseMetadata"}
        click.echo(json.dumps(value, indent=2, default=json_value, ensure_ascii=False))

    def show_table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows of cells under their column names."""
        cells = [[cell or NOTHING for cell in row] for row in rows]
        if sys.stdout.isatty():
            show_rich_table(columns, cells)
            return
        widths = [max(len(cell) for cell in column) for column in zip(columns, *cells, strict=True)]
        for row in (columns, *cells):
            line = GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            click.echo(line.rstrip())

    def show_facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Print a list of names and values, leaving out what has no value."""
        shown = [(name, value) for name, value in facts if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            label = click.style(f"{name}:".ljust(width + 1), bold=True)
            click.echo(f"{label}  {click.style(value, **click_style(value))}")

    def show_heading(self, text: str) -> None:
        click.echo()
        click.echo(click.style(text, bold=True))

    def show_text(self, text: str) -> None:
        """Print running text, wrapped at words."""
        click.echo(click.wrap_text(text or NOTHING, width=TEXT_WIDTH))

    def note(self, text: str) -> None:
        """Say something beside the result, on standard error, so that standard output stays clean."""
        click.echo(click.style(text, dim=True), err=True)


def show_rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    Console().print(table)


def click_style(value: str) -> dict[str, Any]:
    words = STYLES.get(value, "").split()
    colour = next((word for word in words if word not in ("bold", "dim")), None)
    return {"fg": colour, "bold": "bold" in words or None, "dim": "dim" in words or None}


def json_value(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def say_when(moment: datetime | None, now: datetime | None = None) -> str:
    """How long ago something was: "12 s ago", "5 min ago", "3 h ago", "2 days ago"; empty for None."""
    if moment is None:
        return ""
    seconds = max(0, int(((now or datetime.now(UTC)) - moment).total_seconds()))
    for size, unit in ((86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size or (seconds >= size and unit != "days"):
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def say_time(moment: datetime | None) -> str:
    """A point in time to the millisecond, in the reader's own zone; empty for None."""
    return moment.astimezone().isoformat(sep=" ", timespec="milliseconds") if moment else ""
