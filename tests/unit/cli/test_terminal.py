"""The live view: what it shows at each width, who moved, and what it does where there is no terminal."""

import io
import threading
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from tests.polling import until
from topline.cli.terminal import CityLine, SalesmanLine, SourceLine, View, final_rankings, progress, watch
from topline.cli.view_layout import Layout, Size, duration, milliseconds, plain_line
from topline.cli.view_moves import Moves

CITIES = tuple(
    CityLine(country, region, city, Decimal(total), deals, Decimal(total) / deals, Decimal(total))
    for country, region, city, total, deals in (
        ("United States", "Illinois", "Springfield", "12345.6789", 12),
        ("United States", "Missouri", "Springfield", "9000.5", 9),
        ("Japan", "東京都", "東京", "800", 3),
        ("Monaco", "", "Monaco", "70", 1),
    )
)
SALESMEN = tuple(
    SalesmanLine(number, name, Decimal(total), deals, Decimal(total) / deals, 2)
    for number, name, total, deals in (("82", "Łukasz Brontë", "21000", 20), ("9", "Ana [b]García", "1000.25", 4))
)
VIEW = View(
    day=date(2026, 11, 21),
    currency="EUR",
    elapsed=65,
    epoch=1234,
    cities=CITIES,
    salesmen=SALESMEN,
    sources=(
        SourceLine("shop", "copying", 1000, 250, 1000),
        SourceLine("branches", "halted", 20, detail="folder\n is gone", failed=True),
    ),
    rate=812.4,
    events=1020,
    freshness_ms=87,
    backlog=12,
    rejected=14,
    dead_letters=9,
    api="http://127.0.0.1:8787",
    notes=("model top_salesmen\n  is held",),
)


def drawn(view: View, width: int, height: int, layout: Layout | None = None, ascii_only: bool = False) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print((layout or Layout()).draw(view, Size(width, height, ascii_only)))
    return capture.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (140, 40), (100, 30), (60, 24)])
def test_all_that_matters_is_shown(width: int, height: int) -> None:
    text = "\n".join(drawn(VIEW, width, height))
    shown = ("Springfield", "12,345.68", "Łukasz Brontë", "21,000.00", "812", "87 ms", "2026-11-21", "1,234", "01:05")
    assert [word for word in (*shown, "14", "copying", "folder is gone", "127.0.0.1:8787", "is held") if word not in text] == []


@pytest.mark.parametrize("width", [80, 100, 140])
def test_cities_of_one_name_are_told_apart(width: int) -> None:
    lines = drawn(VIEW, width, 30)
    assert any("Springfield, Illinois" in line for line in lines)
    assert any("Springfield, Missouri" in line for line in lines)


def test_a_source_with_hardly_anything_left_to_read_has_no_bar() -> None:
    few, many = (replace(VIEW, sources=(SourceLine("branches", "idle", 9, 7, total),)) for total in (8, 5_000))
    assert "7 of 8" not in "\n".join(drawn(few, 80, 24))
    assert "7 of 5,000" in "\n".join(drawn(many, 80, 24))


def test_a_wide_terminal_says_more() -> None:
    narrow, wide = "\n".join(drawn(VIEW, 80, 24)), "\n".join(drawn(VIEW, 140, 40))
    assert "United States" not in narrow
    assert all(word in wide for word in ("United States", "Average", "Cities"))


@settings(deadline=None)
@given(width=st.integers(20, 200), height=st.integers(6, 60), lines=st.integers(0, 20))
def test_it_never_grows_beyond_the_terminal(width: int, height: int, lines: int) -> None:
    view = replace(VIEW, cities=(CITIES * 5)[:lines], salesmen=(SALESMEN * 10)[:lines])
    found = drawn(view, width, height)
    assert len(found) <= max(height, 8)
    assert max(map(cell_len, found)) <= width


def test_an_engine_without_results_yet_is_drawn_too() -> None:
    text = "\n".join(drawn(View(day=VIEW.day, currency="EUR", elapsed=0, epoch=0), 80, 24))
    assert "fresh -" in text


def test_names_are_shown_as_they_are() -> None:
    assert any("Ana [b]García" in line for line in drawn(VIEW, 140, 40))


def test_a_line_that_rose_has_an_arrow_and_so_has_the_one_that_fell() -> None:
    layout = Layout()
    drawn(VIEW, 80, 24, layout)
    swapped = View(day=VIEW.day, currency="EUR", elapsed=66, epoch=2, cities=(CITIES[1], CITIES[0], *CITIES[2:]))
    lines = [line for line in drawn(swapped, 80, 24, layout) if "Springfield" in line]
    assert "▲" in lines[0]
    assert "Missouri" in lines[0]
    assert "▼" in lines[1]


def test_an_ascii_terminal_gets_ascii_arrows_and_bars() -> None:
    layout = Layout()
    plain = (CITIES[0], CITIES[1])
    drawn(View(day=VIEW.day, currency="EUR", elapsed=1, epoch=1, cities=plain), 80, 24, layout)
    view = View(day=VIEW.day, currency="EUR", elapsed=2, epoch=1, cities=plain[::-1], sources=VIEW.sources)
    text = "\n".join(drawn(view, 80, 24, layout, ascii_only=True))
    assert "^" in text
    assert "####" in text
    assert text.isascii()


def test_moves_are_forgotten_after_some_seconds() -> None:
    moves = Moves()
    assert moves.see(["a", "b"], 0) == ["", ""]
    assert moves.see(["b", "a", "c"], 1) == ["up", "down", "new"]
    assert moves.see(["b", "a", "c"], 3) == ["up", "down", "new"]
    assert moves.see(["b", "a", "c"], 6) == ["", "", ""]


@given(st.lists(st.permutations("abcdef"), min_size=2, max_size=8))
def test_a_move_says_how_the_rank_changed_last(lists: list[list[str]]) -> None:
    moves, last = Moves(), lists[0]
    moves.see(last, 0)
    for keys in lists[1:]:
        shown = dict(zip(keys, moves.see(keys, 0), strict=True))
        for key in keys:
            if keys.index(key) != last.index(key):
                assert shown[key] == ("up" if keys.index(key) < last.index(key) else "down")
        last = keys


def test_on_a_terminal_it_redraws_until_stopped() -> None:
    out, stop, looks = io.StringIO(), threading.Event(), list[int]()

    def read() -> View:
        looks.append(1)
        return VIEW

    console = Console(file=out, force_terminal=True, width=80, height=24, color_system="truecolor")
    thread = threading.Thread(target=watch, args=(read, stop, console))
    thread.start()
    until(lambda: len(looks) >= 2)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()
    assert "Łukasz Brontë" in out.getvalue()
    assert out.getvalue().rstrip().endswith("\x1b[?25h\x1b[?1049l")  # cursor and screen are back


def test_no_color_means_no_color() -> None:
    def coloured(no_color: bool) -> str:
        console = Console(file=io.StringIO(), force_terminal=True, width=80, color_system="truecolor", no_color=no_color)
        with console.capture() as capture:
            console.print(Layout().draw(VIEW, Size(80, 24)))
        return capture.get()

    assert "\x1b[1;36m" in coloured(False)
    assert "\x1b[1;36m" not in coloured(True)


def test_elsewhere_it_writes_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("topline.cli.terminal._PLAIN", 0.01)
    out, stop = io.StringIO(), threading.Event()
    thread = threading.Thread(target=watch, args=(lambda: VIEW, stop, Console(file=out, force_terminal=False)))
    thread.start()
    until(lambda: out.getvalue().count("\n") >= 2)
    stop.set()
    thread.join(5)
    assert out.getvalue().splitlines()[0] == plain_line(VIEW)


def test_the_plain_line_has_the_figures_and_the_trouble() -> None:
    line = plain_line(VIEW)
    assert "\n" not in line
    assert all(word in line for word in ("812 changes/s", "rejected 14", "Springfield", "Łukasz Brontë", "folder is gone"))


def test_the_plain_line_says_what_stands_still() -> None:
    line = plain_line(replace(VIEW, notes=("model a halted: its key\nis NULL",)))
    assert "\n" not in line
    assert "model a halted" in line


def test_final_rankings_stay_with_all_columns() -> None:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as capture:
        final_rankings(VIEW, console)
    assert all(
        word in capture.get() for word in ("Top cities, 2026-11-21 (EUR)", "Springfield, Missouri", "Largest", "9,000.50")
    )


def test_a_bar_shows_on_a_terminal_and_nothing_elsewhere() -> None:
    for terminal in (True, False):
        out = io.StringIO()
        with progress("Auditing", Console(file=out, force_terminal=terminal, width=80)) as report:
            report(1)
            report(500, 1000)
        assert ("Auditing" in out.getvalue()) is terminal
        assert ("500/1000" in out.getvalue()) is terminal


@pytest.mark.parametrize(("seconds", "text"), [(0, "00:00"), (65.9, "01:05"), (3600, "1:00:00"), (360_000, "100:00:00")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.4, "0 ms"), (999, "999 ms"), (1500, "1.5 s")])
def test_milliseconds(value: float, text: str) -> None:
    assert milliseconds(value) == text
