"""The capacity of a cluster as a person sees it: bars on a terminal, tables in a pipe, one line for a change.

A terminal of 100 columns is enough. Where there are many instances, those of a zone and type share a line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from awsorch.cli.capacity_words import (
    View,
    say_at,
    say_count,
    say_decisions,
    say_price,
    say_span,
    say_type,
    say_why,
)
from awsorch.cli.identifiers import tail
from awsorch.cli.printing import BAD, BUSY, GONE, Printer

if TYPE_CHECKING:
    from rich.console import Group, RenderableType
    from rich.table import Table
    from rich.text import Text

BAR_WIDTH = 12
EIGHTHS = " ▏▎▍▌▋▊▉"
USED, FREE = "cyan", "on grey23"
ALARMS = {"agent away": BAD, "interrupted": BAD, "DRAINING": BUSY, "spot": GONE}
LABELS = {"cpu": "CPU", "memory": "mem", "gpus": "GPU"}
COLUMNS = ("INSTANCE", "ZONE", "TYPE", "CPU USED", "MEMORY USED", "GPUS USED", "TASKS", "PRICE", "NOTES")
WAITING_COLUMNS = ("WAITING", "COUNT", "SINCE", "A TASK ASKS FOR", "WHY")
PROVIDER_COLUMNS = ("PROVIDER", "SIZE", "COMING", "WAITING", "PRICE", "NEXT")


# --- plain text --------------------------------------------------------------------------------------------------


def show_capacity(printer: Printer, told: View, summed: bool) -> None:
    """Print it as tables. ``summed``: one line for the instances of a zone and type."""
    printer.show_text(headline(told))
    rows = [plain_row(told, each, summed) for each in (told["groups"] if summed else told["instances"])]
    rows += [machine_row(told, each) for each in told["machines"]]
    if rows:
        printer.show_heading("Instances")
        printer.show_table(COLUMNS, rows)
    if told["waiting"]:
        printer.show_heading("Waiting tasks")
        printer.show_table(WAITING_COLUMNS, [waiting_row(told, each) for each in told["waiting"]])
    if told["providers"]:
        printer.show_heading("Capacity providers")
        printer.show_table(PROVIDER_COLUMNS, [row for each in told["providers"] for row in provider_rows(told, each)])


def headline(told: View) -> str:
    """All in one line: "cluster default: 3 instances, 1 comes; 12 tasks, 4 wait; CPU 61 %, memory 48 %; $0.125/h"."""
    totals, coming, waiting = told["totals"], coming_of(told), waiting_of(told)
    parts = [f"cluster {told['cluster']}: {say_count(totals['instances'], 'instance')}"]
    parts[0] += f", {coming} {'comes' if coming == 1 else 'come'}" if coming else ""
    tasks = say_count(totals["tasks"], "task")
    parts.append(f"{tasks}, {waiting} {'waits' if waiting == 1 else 'wait'}" if waiting else tasks)
    if totals["instances"]:
        parts.append(f"CPU {percent(totals['cpu'])} %, memory {percent(totals['memory'])} %")
    if told["hourlyPrice"]:
        unpriced = told["unpriced"]
        parts.append(say_price(told["hourlyPrice"]) + (f" and {unpriced} without a price" if unpriced else ""))
    return "; ".join(parts)


def coming_of(told: View) -> int:
    return sum(each["coming"] for each in told["providers"])


def waiting_of(told: View) -> int:
    return sum(each.get("count") or 0 for each in told["waiting"])


def plain_row(told: View, view: View, summed: bool) -> list[str]:
    return [
        say_count(view["instances"], "instance") if summed else name_of(view),
        view.get("zone", ""),
        say_type(view) if view.get("instanceType") else "",
        amount(view["cpu"], ""),
        amount(view["memory"], " MiB"),
        amount(view["gpus"], ""),
        str(view["tasks"]),
        say_price(view["hourlyPrice"]) if view.get("hourlyPrice") else "",
        ", ".join(group_notes(view) if summed else notes(told, view)),
    ]


def machine_row(told: View, machine: View) -> list[str]:
    price = say_price(machine["hourlyPrice"]) if machine["hourlyPrice"] else ""
    note = ", ".join(machine_notes(told, machine))
    return [machine["ec2InstanceId"], machine["zone"], say_type(machine), "", "", "", "", price, note]


def amount(resource: View, unit: str) -> str:
    """How much of a resource is used: "512 of 2048 MiB (25 %)"; nothing of what there is none of."""
    if not resource["total"]:
        return ""
    return f"{resource['used']} of {resource['total']}{unit} ({percent(resource)} %)"


def percent(resource: View) -> int:
    return int(100 * resource["used"] // resource["total"]) if resource["total"] else 0


def name_of(instance: View) -> str:
    return str(instance.get("ec2InstanceId") or tail(instance["containerInstance"]))


def waiting_row(told: View, waiting: View) -> list[str]:
    providers = {each["name"]: each for each in told["providers"]}
    count = waiting.get("count")
    return [
        waiting["group"],
        str(count) if count is not None else "",
        say_span(told["at"] - waiting["since"]),
        asks(waiting),
        say_why(waiting, providers, told["at"]),
    ]


def asks(view: View) -> str:
    """What one task asks for: "256 CPU, 512 MiB, 1 GPU"."""
    if "cpu" not in view:
        return ""
    gpus = view.get("gpus")
    return f"{view['cpu']} CPU, {view['memory']} MiB" + (f", {gpus} GPU" if gpus else "")


def provider_rows(told: View, provider: View) -> Iterator[list[str]]:
    """A row for each decision that is due, the first with the provider's own cells."""
    sentences = list(say_next(told, provider)) or [""]
    own = [
        provider["name"],
        bounds(provider),
        str(provider["coming"] or ""),
        str(provider["waiting"] or ""),
        say_price(provider["hourlyPrice"]) if provider["hourlyPrice"] else "",
    ]
    for number, sentence in enumerate(sentences):
        yield [*(own if number == 0 else [""] * len(own)), sentence]


def bounds(provider: View) -> str:
    """A provider's size, within its group's bounds: "3 of 0..10"."""
    if provider.get("maximum") is None:
        return str(provider["size"])
    return f"{provider['size']} of {provider['minimum']}..{provider['maximum']}"


def say_next(told: View, provider: View) -> Iterator[str]:
    """What a provider does next, its failure first."""
    now, failure = told["at"], provider.get("failure")
    if failure:
        again = f"; tries again {say_at(failure['until'], now)}" if failure["until"] > now else ""
        times = f" {failure['count']} times" if failure["count"] > 1 else ""
        yield f"cannot launch{times}: {failure['code']}: {failure['message']}{again}"
    if not provider["scales"]:
        yield "launches and ends nothing: managed scaling is off"
    yield from say_decisions(provider, now)


# --- marks -------------------------------------------------------------------------------------------------------


def notes(told: View, instance: View) -> Iterator[str]:
    """What is special about an instance."""
    if instance["status"] != "ACTIVE":
        yield instance["status"]
    if not instance["agentConnected"]:
        yield "agent away"
    if instance["interrupted"]:
        yield "interrupted"
    if instance.get("ending"):
        yield f"ends: {instance['ending']}"
    elif instance.get("idleSince") is not None:
        yield f"idle{say_end(told, instance)}"
    else:
        yield from (f"to be emptied{end}" for end in (say_end(told, instance),) if end)
    if instance["spot"]:
        yield "spot"


def say_end(told: View, instance: View) -> str:
    """When an instance is to go: ", ends in 7 s"; nothing if it is to stay."""
    decisions = (each for provider in told["providers"] for each in provider["next"])
    due = (each for each in decisions if instance.get("ec2InstanceId") in each.get("machines", ()))
    return next((f", ends {say_at(each['at'], told['at'])}" for each in due), "")


def group_notes(group: View) -> Iterator[str]:
    words = {"idle": "idle", "ending": "ending", "draining": "DRAINING", "away": "agent away"}
    yield from (f"{group[name]} {word}" for name, word in words.items() if group[name])


def machine_notes(told: View, machine: View) -> Iterator[str]:
    """What a machine without an agent is doing."""
    since = say_span(told["at"] - machine["since"])
    yield f"{machine['state']}, {since}" if machine["leaving"] else f"boots, {since}"
    if machine["replaces"]:
        yield f"takes the place of {', '.join(machine['replaces'])}"


# --- on a terminal -----------------------------------------------------------------------------------------------


def drawing(told: View, summed: bool) -> Group:
    """The cluster at this moment as lines of a terminal."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(headline(told), style="bold")]
    for heading, rows in sections(told, summed):
        parts += [Text(), Text(heading, style="bold"), draw_section(told, rows, summed)]
    if told["waiting"]:
        waiting = [waiting_row(told, each) for each in told["waiting"]]
        lines = [[f"{group} × {count}" if count else group, since, why] for group, count, since, _, why in waiting]
        parts += [Text(), Text("Waiting", style="bold"), draw_lines(lines, BUSY)]
    if told["providers"]:
        lines = [
            [name, size, price, sentence or "nothing to do"]
            for each in told["providers"]
            for name, size, _, _, price, sentence in provider_rows(told, each)
        ]
        parts += [Text(), Text("Capacity providers", style="bold"), draw_lines(lines)]
    return Group(*parts)


def sections(told: View, summed: bool) -> Iterator[tuple[str, list[View]]]:
    """What is to be drawn, with headings: instances by zone and type, or their sums by zone, and machines there."""
    every = [*(told["groups"] if summed else told["instances"]), *told["machines"]]
    every.sort(key=lambda each: (place_of(each, summed), each.get("instanceType", ""), "state" in each))
    for place, rows in groupby(every, key=lambda each: place_of(each, summed)):
        yield "  ".join(place), list(rows)


def place_of(view: View, summed: bool) -> tuple[str, ...]:
    """Where something is: its zone, and its type where each instance is shown."""
    zone = view.get("zone") or "no zone"
    return (zone,) if summed else (zone, say_type(view) if view.get("instanceType") else "")


def draw_section(told: View, rows: Sequence[View], summed: bool) -> Table:
    """Instances with a bar for each resource, and machines that are none yet."""
    from rich.table import Table
    from rich.text import Text

    with_gpus = any(row.get("gpus", {}).get("total") for row in rows)
    names = ("cpu", "memory", "gpus") if with_gpus else ("cpu", "memory")
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, min_width=21)
    for _ in (*names, "tasks"):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        if "state" in row:
            name, bars, tasks = row["ec2InstanceId"], [Text()] * len(names), ""
            remarks = Text(", ".join(machine_notes(told, row)), style=GONE)
        else:
            name = f"{row['instances']:,} × {say_type(row)}" if summed else name_of(row)
            bars, tasks = [bar(each, row[each]) for each in names], say_count(row["tasks"], "task")
            remarks = draw_notes(list(group_notes(row) if summed else notes(told, row)))
        table.add_row(f"  {name}", *bars, tasks, remarks)
    return table


def bar(name: str, resource: Mapping[str, int]) -> Text:
    """How full a resource is: its label, a bar in eighths of a column, and the percentage."""
    from rich.text import Text

    if not resource["total"]:
        return Text()
    filled = round(8 * BAR_WIDTH * min(resource["used"] / resource["total"], 1.0))
    whole, rest = divmod(filled, 8)
    drawn = ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(BAR_WIDTH)
    return Text.assemble((f"{LABELS[name]} ", GONE), (drawn, f"{USED} {FREE}"), f" {percent(resource):3d} %")


def draw_notes(sentences: Sequence[str]) -> Text:
    from rich.text import Text

    return Text(", ").join(Text(each, style=ALARMS.get(each, BUSY)) for each in sentences)


def draw_lines(rows: Sequence[Sequence[str]], style: str = "") -> Table:
    """Rows whose last cell wraps."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    for number in range(len(rows[0])):
        table.add_column(overflow="fold", no_wrap=number < len(rows[0]) - 1)
    for first, *others in rows:
        table.add_row(Text(f"  {first}", style=style), *(Text(cell) for cell in others))
    return table


def one_line(told: View) -> str:
    """The cluster in one line that stays the same while nothing but time passes."""
    decisions: list[str] = [
        f"{each['name']} {sentence}" for each in told["providers"] for sentence in say_decisions(each, None)
    ]
    failures: list[Any] = [
        f"{each['name']} cannot launch: {each['failure']['code']}" for each in told["providers"] if each.get("failure")
    ]
    return "; ".join([headline(told), *failures, *decisions])
