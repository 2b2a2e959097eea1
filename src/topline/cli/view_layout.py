"""The live view drawn: two rankings side by side or one above the other, the engine's figures, the sources."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Generic, Literal, TypeVar

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from topline.cli.view_data import CityLine, SalesmanLine, SourceLine, View
from topline.cli.view_moves import Move, Moves

Line = TypeVar("Line", CityLine, SalesmanLine)

SIDE_BY_SIDE = 72  # columns from which the two rankings stand beside each other
_WIDE, _FULL = 50, 66  # columns of one ranking from which it has more to say
_LONG = 1_000  # what is left to read of a source, from which a bar is worth showing
_MARKS: dict[Move, tuple[str, str, str]] = {  # glyph, the same in ASCII, style
    "up": ("▲", "^", "bold green"),
    "down": ("▼", "v", "red"),
    "new": ("●", "*", "bold cyan"),
    "": (" ", " ", ""),
}


@dataclass(frozen=True, slots=True)
class Size:
    """The terminal: columns, lines, and whether it knows ASCII alone."""

    width: int
    height: int
    ascii: bool = False

    @property
    def overflow(self) -> Literal["crop", "ellipsis"]:
        return "crop" if self.ascii else "ellipsis"


@dataclass(frozen=True, slots=True)
class Column(Generic[Line]):
    """`width`: columns of the ranking from which this column is shown."""

    title: str
    cell: Callable[[Line], str]
    width: int = 0
    justify: Literal["left", "right"] = "right"


CITY: tuple[Column[CityLine], ...] = (
    Column("City", lambda line: ", ".join(filter(None, (line.city, line.region))), justify="left"),
    Column("Country", lambda line: line.country, _FULL, justify="left"),
    Column("Sales", lambda line: money(line.total_sales)),
    Column("Deals", lambda line: f"{line.transaction_count:,}", 40),
    Column("Average", lambda line: money(line.avg_sale), _FULL + 6),
    Column("Largest", lambda line: money(line.max_sale), _FULL + 16),
)
SALESMAN: tuple[Column[SalesmanLine], ...] = (
    Column("Salesman", lambda line: line.salesman_name or line.salesman_id, justify="left"),
    Column("Id", lambda line: line.salesman_id, _FULL, justify="left"),
    Column("Sales", lambda line: money(line.total_sales)),
    Column("Deals", lambda line: f"{line.deals_closed:,}", 34),
    Column("Average", lambda line: money(line.avg_deal_size), _WIDE),
    Column("Cities", lambda line: f"{line.cities_covered:,}", _FULL),
)


class Layout:
    """Draws one view after the other; it remembers ranks, to show who moved."""

    def __init__(self) -> None:
        self._cities, self._salesmen = Moves(), Moves()

    def draw(self, view: View, size: Size) -> RenderableType:
        """At most as large as `size`."""
        cities = self._cities.see([line.key for line in view.cities], view.elapsed)
        salesmen = self._salesmen.see([line.key for line in view.salesmen], view.elapsed)
        foot = [*sources(view, size), *notes(view, size), *address(view, size)]
        head = [headline(view, size), *figures(view, size)]
        beside = size.width >= SIDE_BY_SIDE
        spare = size.height - len(head) - len(foot) - (4 if beside else 6)
        rows = max(1, min(20, spare if beside else spare // 2))
        width = (size.width - 3) // 2 if beside else size.width
        left = ranking(f"Top cities, {view.day}", CITY, view.cities[:rows], cities, Size(width, rows, size.ascii))
        right = ranking("Top salesmen", SALESMAN, view.salesmen[:rows], salesmen, Size(width, rows, size.ascii))
        both = _beside(left, right, width) if beside else Group(left, Text(), right)
        return Group(*_fit([*head, Text()], foot, both, size, (rows + 2) if beside else 2 * rows + 5))


def _fit(head: list[Text], foot: list[Text], both: RenderableType, size: Size, lines: int) -> list[RenderableType]:
    """What is needed least goes first where the terminal is too low: the foot, then the head but for its first line."""
    spare = size.height - lines
    if spare < len(head):
        head = head[: max(1, spare)]
    foot = foot[: max(0, spare - len(head))]
    return [*head, both, *([Text(), *foot[: max(0, spare - len(head) - 1)]] if foot else [])]


def _beside(left: RenderableType, right: RenderableType, width: int) -> Table:
    grid = Table.grid(padding=(0, 3, 0, 0), pad_edge=False)
    grid.add_column(width=width)
    grid.add_column(width=width)
    grid.add_row(left, right)
    return grid


def ranking(
    title: str, columns: Sequence[Column[Line]], lines: Sequence[Line], moves: Sequence[Move], size: Size
) -> RenderableType:
    """One ranking with rank and movement, filled up with empty rows so that nothing below it jumps."""
    shown = [column for column in columns if size.width >= column.width]
    gap = 2 if size.width >= _WIDE else 1
    table = Table(box=None, pad_edge=False, expand=True)
    table.padding = (0, gap, 0, 0)
    table.add_column("#", justify="right", style="dim", width=2, no_wrap=True)
    table.add_column("", width=1, no_wrap=True)
    for index, column in enumerate(shown):
        ratio = 1 if index == 0 else None
        table.add_column(column.title, justify=column.justify, no_wrap=True, overflow=size.overflow, ratio=ratio)
    for rank, (line, move) in enumerate(zip(lines, moves, strict=False), 1):
        glyph, plain, style = _MARKS[move]
        cells = [Text(column.cell(line), style="bold" if rank == 1 else "") for column in shown]
        table.add_row(str(rank), Text(plain if size.ascii else glyph, style=style), *cells)
    for _ in range(size.height - len(lines)):
        table.add_row(*[""] * (len(shown) + 2))
    return Group(_one_line(Text(title, style="bold"), size), table)


def headline(view: View, size: Size) -> Text:
    text = Text.assemble(("Topline", "bold cyan"), "  ", (duration(view.elapsed), "dim"), "  ", f"epoch {view.epoch:,}")
    if view.currency and size.width >= 50:
        text.append(f"  money in {view.currency}", "dim")
    return _one_line(text, size)


def figures(view: View, size: Size) -> list[Text]:
    """Rates on one line where there is room, on two where not; trouble stands out."""
    fresh = "-" if view.freshness_ms is None else milliseconds(view.freshness_ms)
    speed = Text.assemble(
        *_pair("changes/s", f"{view.rate:,.0f}"), *_pair("fresh", fresh), *_pair("backlog", f"{view.backlog:,}")
    )
    trouble = Text.assemble(
        *_pair("rejected", f"{view.rejected:,}", "yellow" if view.rejected else ""),
        *_pair("dead letters", f"{view.dead_letters:,}", "yellow" if view.dead_letters else ""),
        *_pair("changes", f"{view.events:,}"),
    )
    if speed.cell_len + trouble.cell_len <= size.width:
        return [_one_line(speed + trouble, size)]
    return [_one_line(speed, size), _one_line(trouble, size)]


def _pair(name: str, value: str, style: str = "") -> tuple[tuple[str, str], ...]:
    return (f"{name} ", "dim"), (value, style or "bold"), ("   ", "")


def sources(view: View, size: Size) -> list[Text]:
    width = max((len(source.name) for source in view.sources), default=0)
    return [_one_line(_source(source, width, size), size) for source in view.sources]


def _source(source: SourceLine, width: int, size: Size) -> Text:
    style = "bold red" if source.failed else "yellow" if source.phase in ("starting", "copying") else "green"
    text = Text.assemble(
        (f"{source.name:<{width}}", "bold"), "  ", (f"{source.phase:<9}", style), f"  {source.events:,} changes"
    )
    if source.total and (source.phase == "copying" or source.total - source.done >= _LONG):
        text.append(f"  {bar(source.done / source.total, 16, size.ascii)} {source.done:,} of {source.total:,}")
    if source.detail:
        text.append(f"  {_flat(source.detail)}", "red" if source.failed else "dim")
    return text


def notes(view: View, size: Size) -> list[Text]:
    return [_one_line(Text(_flat(note), style="yellow"), size) for note in view.notes[:3]]


def address(view: View, size: Size) -> list[Text]:
    line = Text.assemble(("API ", "dim"), (view.api, "cyan"), ("   Ctrl-C stops", "dim"))
    return [_one_line(line, size)] if view.api else []


def bar(share: float, width: int, ascii_only: bool) -> str:
    filled = round(max(0.0, min(1.0, share)) * width)
    full, empty = ("#", ".") if ascii_only else ("━", "╌")
    return full * filled + empty * (width - filled)


def _flat(text: str) -> str:
    """A message of several lines as one, so that the view keeps its height."""
    return " ".join(text.split())


def _one_line(text: Text, size: Size) -> Text:
    text.truncate(size.width, overflow=size.overflow)
    text.no_wrap = True
    return text


def money(value: Decimal) -> str:
    """For people: two decimals. The results themselves keep four."""
    return f"{value:,.2f}"


def duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value < 1_000 else f"{value / 1_000:,.1f} s"


def plain_line(view: View) -> str:
    """The view as one line of text, for a log or a pipe."""
    fresh = "-" if view.freshness_ms is None else milliseconds(view.freshness_ms)
    best = view.cities[0] if view.cities else None
    man = view.salesmen[0] if view.salesmen else None
    parts = (
        f"{duration(view.elapsed)} epoch {view.epoch}",
        f"{view.rate:,.0f} changes/s",
        f"fresh {fresh}",
        f"backlog {view.backlog:,}",
        f"rejected {view.rejected:,}",
        f"dead letters {view.dead_letters:,}",
        f"top city {best.city} ({best.country}) {money(best.total_sales)}" if best else "",
        f"top salesman {man.salesman_name} {money(man.total_sales)}" if man else "",
        *(f"{source.name}: {source.phase} {_flat(source.detail)}".rstrip() for source in view.sources if source.failed),
        *map(_flat, view.notes),
    )
    return " | ".join(filter(None, parts))
