"""What a person sees of a rollout: on a terminal a table that moves with events above it, in a pipe a line per change.

Both are told snapshots and remember what they have shown. A command that prints JSON shows nothing meanwhile.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from awsorch.cli.identifiers import tail
from awsorch.cli.printing import BAD, STYLES, Printer
from awsorch.cli.rollouts import Snapshot, View
from awsorch.cli.services import Deployment, Service, message_of, percent, primary_of
from awsorch.cli.targets import say_targets

if TYPE_CHECKING:
    from rich.console import Group
    from rich.live import Live

COLUMNS = ("", "DEFINITION", "DEPLOYMENT", "DESIRED", "RUNNING", "PENDING", "FAILED")
BAR_WIDTH = 40
REDRAWS_A_SECOND = 4


def open_view(printer: Printer, before: Service | None = None) -> View:
    """The view that suits who reads. ``before``: the service before the change, whose events are known."""
    seen = SeenEvents.of(before)
    if printer.as_json:
        return NoView()
    return LiveView(seen=seen) if sys.stdout.isatty() else PlainView(seen=seen)


@dataclass(slots=True)
class SeenEvents:
    """Which events of a service were shown."""

    ids: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, service: Service | None) -> SeenEvents:
        return cls({event["id"] for event in (service or {}).get("events", [])})

    def new(self, service: Service) -> Iterator[dict[str, Any]]:
        """The events that were not seen before, oldest first; they are seen from then on."""
        for event in reversed(service.get("events", [])):
            if event["id"] not in self.ids:
                self.ids.add(event["id"])
                yield event


@dataclass(slots=True, kw_only=True)
class NoView:
    """Shows nothing."""

    def __enter__(self) -> NoView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        pass


@dataclass(slots=True, kw_only=True)
class PlainView:
    """One line for each event and each change of the counts, with the seconds since the start."""

    seen: SeenEvents = field(default_factory=SeenEvents)
    said: str = ""

    def __enter__(self) -> PlainView:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def show(self, snapshot: Snapshot) -> None:
        lines = [*(message_of(event) for event in self.seen.new(snapshot.service)), *snapshot.failures]
        if (line := one_line(snapshot)) != self.said:
            self.said = line
            lines.append(line)
        for line in lines:
            click.echo(f"{snapshot.seconds:6.1f} s  {line}")


@dataclass(slots=True, kw_only=True)
class LiveView:
    """Redraws the deployments, the targets and a progress bar in place; events scroll by above."""

    seen: SeenEvents = field(default_factory=SeenEvents)
    live: Live | None = None

    def __enter__(self) -> LiveView:
        from rich.console import Console
        from rich.live import Live

        self.live = Live(console=Console(highlight=False), refresh_per_second=REDRAWS_A_SECOND)
        self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def show(self, snapshot: Snapshot) -> None:
        from rich.text import Text

        if self.live is None:
            return
        for event in self.seen.new(snapshot.service):
            when = event["createdAt"].astimezone().strftime("%H:%M:%S")
            self.live.console.print(Text.assemble((when, "dim"), "  ", message_of(event)))
        for line in snapshot.failures:
            self.live.console.print(Text(line, style=BAD))
        self.live.update(drawing(snapshot))


def drawing(snapshot: Snapshot) -> Group:
    """The service at this moment as lines of a terminal."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    service = snapshot.service
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    for column in COLUMNS:
        table.add_column(column, justify="right" if column in COLUMNS[3:] else "left", no_wrap=True)
    for cells in rows(service):
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    done = percent(service)
    state = str((primary_of(service) or {}).get("rolloutState") or service["status"])
    line = Table.grid(padding=(0, 2, 0, 0))
    line.add_row(
        ProgressBar(total=100, completed=done, width=BAR_WIDTH),
        f"{done} %",
        Text(state, style=STYLES.get(state, "")),
        f"targets {say_targets(snapshot.targets)}" if snapshot.targets else "",
        f"{snapshot.seconds:.0f} s",
    )
    return Group(Text(service["serviceName"], style="bold"), table, line)


def rows(service: Service) -> Iterable[tuple[str, ...]]:
    """The cells of each deployment, the new one first."""
    rolling = len(service["deployments"]) > 1
    for deployment in sorted(service["deployments"], key=lambda one: one["status"] != "PRIMARY"):
        yield (
            ("new" if deployment["status"] == "PRIMARY" else "old") if rolling else "",
            tail(deployment.get("taskDefinition")),
            deployment["id"],
            str(deployment["desiredCount"]),
            str(deployment["runningCount"]),
            str(deployment["pendingCount"]),
            str(deployment.get("failedTasks", 0)),
        )


def one_line(snapshot: Snapshot) -> str:
    """The service at this moment in one line: "new web:2 1/3, 2 pending; old web:1 3; targets 3/4 healthy; 16 %"."""
    service = snapshot.service
    primary = primary_of(service)
    parts = [say_deployment(one, service) for one in service["deployments"]]
    if targets := say_targets(snapshot.targets):
        parts.append(f"targets {targets}")
    parts.append(f"{percent(service)} %" if primary is not None else service["status"])
    return "; ".join(parts)


def say_deployment(deployment: Deployment, service: Service) -> str:
    definition, running = tail(deployment.get("taskDefinition")), deployment["runningCount"]
    if deployment["status"] == "PRIMARY":
        head = "new " if len(service["deployments"]) > 1 else ""
        counts = f"{head}{definition} {running}/{service['desiredCount']}"
    else:
        counts = f"old {definition} {running}"
    more = [f"{deployment[name]} {word}" for name, word in NOTED if deployment.get(name)]
    return ", ".join([counts, *more])


NOTED = (("pendingCount", "pending"), ("failedTasks", "failed"))
