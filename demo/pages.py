"""What the demo prints."""

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from demo.evidence import Evidence
from tests.kernel.books import Interval
from tests.kernel.gateway import Gateway
from tests.kernel.lab import Count

COLOURS = {"exact": "green", "lossy": "yellow", "unproven": "yellow", "interrupted": "red"}


def opening(gateway: Gateway) -> RenderableType:
    """The configuration that is used."""
    return Panel(Text(gateway.file.read_text().strip()), title="netledger.toml", title_align="left", expand=False)


def line(interval: Interval) -> str:
    """An interval as one line, while the demo runs."""
    colour = COLOURS[interval.status]
    lost = f", {interval.lost.packets:,} lost" if interval.lost.packets else ""
    return (
        f"interval {interval.seq}: [{colour}]{interval.status}[/{colour}], "
        f"{interval.kernel.packets:,} packets {interval.kernel.bytes:,} bytes{lost}"
    )


def show(console: Console, evidence: Evidence) -> None:
    """Receipts, balance, and what the ledger answers."""
    console.print()
    console.print(_receipts(evidence))
    for one in evidence.books.intervals:
        if one.reason:
            console.print(f"interval {one.seq} is {one.status}: {one.reason}\n", highlight=False)
    console.print(Group(_sums(evidence), _counters(evidence)))
    problems = evidence.problems()
    if problems:
        for problem in problems:
            console.print(f"[red]✗[/red] {problem}", highlight=False)
        console.print(Text(evidence.log))
        console.print("[bold red]The books do NOT balance.[/bold red]")
        return
    for asked in evidence.answers.shown:
        console.print(Text(f"# {asked.words}", style="bold"))
        console.print(Text(asked.output))
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(evidence.books.statuses.items()))
    truth, lost = evidence.witness["total"], evidence.books.lost
    console.print(
        f"[bold green]The books balance[/bold green] to the packet and to the byte: {truth.packets:,} packets, "
        f"{truth.bytes:,} bytes in {len(evidence.books.intervals)} intervals ({statuses}).",
        highlight=False,
    )
    console.print(_of_the_kill(evidence.killed_pid, lost), highlight=False)


def _of_the_kill(pid: int, lost: Count) -> str:
    if not lost.packets:
        return f"While pid {pid} was dead the kernel went on adding each packet to its row: nothing is missing."
    return (
        f"While pid {pid} was dead the kernel counted {lost.packets:,} packets ({lost.bytes:,} bytes) "
        "that nobody saw: they are on the row unattributed, and on nobody's bill."
    )


def _receipts(evidence: Evidence) -> Table:
    columns = ("seq", "from", "to", "status", "kernel packets", "kernel bytes", "accounted", "lost")
    table = _table("Receipts: kernel = accounted + lost, in each interval", *columns, left=4)
    for one in evidence.books.intervals:
        colour = COLOURS[one.status]
        table.add_row(
            str(one.seq),
            _clock(one.start),
            _clock(one.end),
            f"[{colour}]{one.status}[/{colour}]",
            *_cells(one.kernel),
            f"{one.accounted.packets:,}",
            f"{one.lost.packets:,}",
        )
    return table


def _sums(evidence: Evidence) -> Table:
    table = _table("The balance", "told by", "packets", "bytes", "", left=1)
    truth = evidence.witness["total"]
    for teller, count in evidence.sums():
        table.add_row(teller, *_cells(count), "[green]=[/green]" if count == truth else "[red]≠[/red]")
    return table


def _counters(evidence: Evidence) -> Table:
    table = _table("The kernel's own numbers", "where", "name", "packets", "bytes", left=2)
    for name, count in sorted(evidence.own.items()):
        table.add_row("nft list counters, table netledger", name, *_cells(count))
    for name, count in sorted(evidence.witness.items()):
        table.add_row("nft list counters, table witness", name, *_cells(count))
    for name, count in sorted(evidence.wire.items()):
        table.add_row("ip -s link, received, with Ethernet headers", name, *_cells(count))
    return table


def _table(title: str, *columns: str, left: int) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for number, name in enumerate(columns):
        table.add_column(name, justify="left" if number < left else "right")
    return table


def _cells(count: Count) -> tuple[str, str]:
    return f"{count.packets:,}", f"{count.bytes:,}"


def _clock(moment: str) -> str:
    """10:05:00.3 of a moment in RFC 3339."""
    return moment.partition("T")[2].removesuffix("Z")[:10]
