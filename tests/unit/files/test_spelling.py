"""Given numbers and times as people write them, when they are read, then they are exact, or stand as they stood."""

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from topline.sources.files.moments import pattern_of
from topline.sources.files.settings import FileColumn
from topline.sources.files.spelling import Spelling

MARK = " (the decimal is ',')"


def spelled(*texts: str | None, typed: Any = None, **said: Any) -> list[str | None]:
    column = FileColumn.model_validate(said)
    spelling = Spelling.of(column.decimal, column.thousands, column.format, column.zone)
    assert spelling is not None
    result: list[str | None] = spelling.spelled(pa.array(texts, pa.string()), typed).to_pylist()
    return result


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.234,56", "1234.56"),
        ("1234,56", "1234.56"),
        ("-1.234.567,8", "-1234567.8"),
        ("+0,5", "+0.5"),
        (",5", ".5"),
        ("12,", "12."),
        ("1.234", "1234"),
        ("007", "007"),
        ("1,5e3", "1.5e3"),
        (" 1,5\u00a0", "1.5"),
        ("1,234", "1.234"),
        ("1.23,4", "1.23,4"),
        ("12.34.567,8", "12.34.567,8"),
        ("1234.567,8", "1234.567,8"),
        ("1,234,567", "1,234,567"),
        ("1.23", "1.23" + MARK),
        ("1234.56", "1234.56" + MARK),
        ("1.5e3", "1.5e3" + MARK),
        (".5", ".5" + MARK),
        ("12,50 €", "12,50 €"),
        ("1 234,5", "1 234,5"),
        ("--5", "--5"),
        ("n/a", "n/a"),
        ("", ""),
        (None, None),
    ],
)
def test_decimal_comma(text: str | None, number: str | None) -> None:
    assert spelled(text, decimal=",", thousands=".") == [number]


def test_other_groups() -> None:
    spaces = ["1 234,5", "1\u00a0234,5", "1\u202f234,5", "12 34,5"]
    assert spelled(*spaces, decimal=",", thousands=" ") == ["1234.5", "1234.5", "1234.5", "12 34,5"]
    assert spelled("1'234.5", "1’234.5", "1234.5", thousands="'") == ["1234.5"] * 3
    assert spelled("1,234.5", "1,234", "12,34", "1.5", thousands=",") == ["1234.5", "1234", "12,34", "1.5"]
    assert spelled("1.234", "1,5", decimal=",") == ["1.234" + MARK, "1.5"]


@settings(max_examples=300)
@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12),
    st.sampled_from([(",", "."), (".", ","), (",", " "), (".", "'"), (",", "")]),
)
def test_a_number_written_as_said_is_that_number(value: Decimal, signs: tuple[str, str]) -> None:
    decimal, thousands = signs
    text = f"{value:,f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    (result,) = spelled(text, decimal=decimal, thousands=thousands)
    assert result is not None
    assert Decimal(result) == value


@settings(max_examples=500)
@given(st.text("0123456789.,+- eE\u00a0x", max_size=12))
def test_what_staging_reads_as_a_number_is_what_was_written(text: str) -> None:
    (result,) = spelled(text, decimal=",", thousands=".")
    assert result is not None
    bare = text.strip(" \u00a0")
    written = re.fullmatch(r"[+-]?(([0-9]{1,3}([.][0-9]{3})+|[0-9]+)(,[0-9]*)?|,[0-9]+)([eE][+-]?[0-9]{1,3})?", bare)
    if written:
        assert result == bare.replace(".", "").replace(",", ".")
    else:
        assert result in (text, text + MARK)
        assert not re.fullmatch(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]{1,3})?", result.strip(" \u00a0"))


@pytest.mark.parametrize(
    ("said", "text", "moment"),
    [
        ("%d/%m/%Y", "21/11/2026", "2026-11-21"),
        ("%d/%m/%Y", "1/2/2026", "2026-02-01"),
        ("%d/%m/%Y", " 01/02/2026 ", "2026-02-01"),
        ("%d/%m/%Y", "31/02/2026", "31/02/2026"),
        ("%d/%m/%Y", "29/02/2024", "2024-02-29"),
        ("%d/%m/%Y", "29/02/1900", "29/02/1900"),
        ("%d/%m/%Y", "11/21/2026", "11/21/2026"),
        ("%d/%m/%Y", "21/11/26", "21/11/26"),
        ("%d/%m/%Y", "21/11/2026 10:00", "21/11/2026 10:00"),
        ("%d/%m/%Y", "2026-11-21", "2026-11-21"),
        ("%m/%d/%Y", "11/21/2026", "2026-11-21"),
        ("%d.%m.%y", "21.11.26", "2026-11-21"),
        ("%d.%m.%y", "21.11.69", "1969-11-21"),
        ("%Y%m%d", "20261121", "2026-11-21"),
        ("%Y%m%d", "2026112", "2026112"),
        ("%Y%m%d%H%M%S", "20261121140503", "2026-11-21 14:05:03"),
        ("%d %b %Y", "3 Nov 2026", "2026-11-03"),
        ("%d %B %Y", "3 september 2026", "2026-09-03"),
        ("%a, %d %b %Y %H:%M:%S %z", "Sat, 21 Nov 2026 14:05:03 +0100", "2026-11-21 14:05:03+01:00"),
        ("%d/%m/%Y %H:%M", "21/11/2026 9:05", "2026-11-21 09:05:00"),
        ("%d/%m/%Y %H:%M", "21/11/2026 24:00", "21/11/2026 24:00"),
        ("%m/%d/%Y %I:%M %p", "11/21/2026 12:05 AM", "2026-11-21 00:05:00"),
        ("%m/%d/%Y %I:%M %p", "11/21/2026 12:05 pm", "2026-11-21 12:05:00"),
        ("%m/%d/%Y %I:%M %p", "11/21/2026 13:05 pm", "11/21/2026 13:05 pm"),
        ("%d/%m/%Y %H:%M:%S.%f", "21/11/2026 14:05:03.12", "2026-11-21 14:05:03.12"),
        ("%d/%m/%Y", None, None),
        ("%Y-%d-%m", "2026-21-11", "2026-11-21"),
        ("%Y-%d-%m", "2026-05-13", "2026-05-13 (the format is %Y-%d-%m)"),
    ],
)
def test_formats(said: str, text: str | None, moment: str | None) -> None:
    assert spelled(text, format=said) == [moment]


def test_several_formats_are_tried_in_turn() -> None:
    said = ["%d/%m/%Y %H:%M", "%d/%m/%Y"]
    assert spelled("21/11/2026 14:05", "21/11/2026", "x", format=said) == ["2026-11-21 14:05:00", "2026-11-21", "x"]


@settings(max_examples=300)
@given(
    st.datetimes(min_value=datetime(1000, 1, 1), max_value=datetime(9999, 12, 31)),
    st.sampled_from(["%d/%m/%Y %H:%M:%S", "%Y%m%d %H%M%S", "%m-%d-%Y %I:%M:%S %p", "%d %B %Y %H.%M.%S", "%b %d, %Y %H:%M:%S"]),
)
def test_a_time_written_as_said_is_that_time(moment: datetime, said: str) -> None:
    moment = moment.replace(microsecond=0)
    assert spelled(moment.strftime(said), format=said) == [moment.isoformat(" ")]


@settings(max_examples=500)
@given(st.text("0123456789/ ", max_size=10), st.sampled_from(["%d/%m/%Y", "%m/%d/%Y"]))
def test_what_is_no_such_day_stays(text: str, said: str) -> None:
    (result,) = spelled(text, format=said)
    try:
        expected = datetime.strptime(text.strip(" "), said).date().isoformat()
    except ValueError:
        expected = text
    assert result == expected or (result == text and not re.fullmatch(r" *[0-9]{1,2}/[0-9]{1,2}/[0-9]{4} *", text))


def test_a_time_without_a_zone_gets_one() -> None:
    texts = ["2026-07-01T12:00", "2026-01-01 12:00:00.5", "2026-01-01T12:00Z", "2026-01-01", "x"]
    assert spelled(*texts, zone="Europe/Rome") == ["2026-07-01 12:00:00+02:00", "2026-01-01 12:00:00.5+01:00", *texts[2:]]
    assert spelled("01/07/2026 12:00", "01/07/2026", format=["%d/%m/%Y %H:%M", "%d/%m/%Y"], zone="Europe/Rome") == [
        "2026-07-01 12:00:00+02:00",
        "2026-07-01",
    ]


def test_times_that_the_clocks_show_twice_or_not_at_all() -> None:
    """As PostgreSQL and DuckDB read them in staging."""
    assert spelled("2026-10-25 02:30", zone="Europe/Rome") == ["2026-10-25 02:30:00+01:00"]
    assert spelled("2026-03-29 02:30", zone="Europe/Rome") == ["2026-03-29 02:30:00+01:00"]


@settings(max_examples=300)
@given(
    st.datetimes(min_value=datetime(1950, 1, 1), max_value=datetime(2090, 1, 1)),
    st.sampled_from(["Europe/Rome", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]),
)
def test_the_offset_is_that_of_the_zone(moment: datetime, zone: str) -> None:
    instant = moment.replace(microsecond=0, tzinfo=UTC)
    local = instant.astimezone(ZoneInfo(zone))
    (text,) = spelled(local.strftime("%Y-%m-%d %H:%M:%S"), zone=zone)
    assert text is not None
    found = datetime.fromisoformat(text)
    twice = (local - timedelta(hours=2)).utcoffset() != (local + timedelta(hours=2)).utcoffset()
    assert found == instant or twice


def test_values_that_the_file_has_as_numbers_stay() -> None:
    assert spelled("1.5", "1,5", typed=np.array([True, False]), decimal=",") == ["1.5", "1.5"]


@pytest.mark.parametrize(
    "said",
    [
        {"decimal": ",", "thousands": ","},
        {"thousands": "."},
        {"decimal": "1"},
        {"decimal": ",", "format": "%d/%m/%Y"},
        {"format": ["%d/%m/%Y", "%m/%d/%Y"]},
        {"format": "%d/%m"},
        {"format": "%d/%m/%Y %M"},
        {"format": "%d/%m/%Y %Q"},
        {"format": "%d/%m/%Y %"},
        {"format": "%H:%M"},
        {"zone": "Mars/Olympus"},
    ],
)
def test_what_cannot_be_meant_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FileColumn.model_validate(said)


def test_numbers_side_by_side_have_all_their_digits() -> None:
    assert "[0-9]{2,2}" in pattern_of("%Y%m%d")
    assert "[0-9]{1,2}" in pattern_of("%d/%m/%Y")
