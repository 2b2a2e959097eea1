"""Rows of answers: values as they stood, arrays, nil, types by xsi:type, pages, cursors, deletions, dead letters."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.integration.sources.soap.support import (
    SALE,
    Reader,
    feed,
    raw,
    records,
    schema,
    settings,
    table,
    values,
)
from tests.soap_server.server import SOAP_11, Reply, SoapServer
from tests.soap_server.services import SALES, SalesService, sale
from topline.changes import DeadLetter
from topline.errors import SourceHalted, TransientError
from topline.schema import Type
from topline.sources.soap.xml import XSI


def test_values_keep_their_text_exactly(server: SoapServer, sales: SalesService) -> None:
    written = {
        "updated": "2026-11-20T23:59:59.123456789+05:30",
        "deleted": "1",
        "amount": "1.10",
        "rate": "0.30000000000000004440892098500626",
        "day": "2026-11-21+14:00",
    }
    sales.rows = [sale("1", "  two \n lines & more ", **written)]
    [row] = values(feed(settings(server), schema("id", "value", *written)))
    assert row == {"id": "1", "value": "  two \n lines & more ", **written}


def test_white_space_around_a_number_is_not_its_value_and_around_a_text_it_is(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale(" 1 ", deleted=" 1 ", amount="\t2.50\n")]
    assert values(feed(settings(server), schema("id", "amount", "deleted"))) == [
        {"id": " 1 ", "amount": "2.50", "deleted": "1"}
    ]


def test_nil_and_missing_are_null_and_empty_is_empty(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale("1", None), sale("2", "")]
    found = values(feed(settings(server), schema("id", "value", "day")))
    assert found == [{"id": "1", "value": None, "day": None}, {"id": "2", "value": "", "day": None}]


def test_attributes_stand_beside_texts_and_in_elements(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale("1", more='<s:amount currency="EUR">1.10</s:amount>', branch="Rome"), sale("2")]
    made = settings(server, one=table(fields={"currency": '"amount@currency"'}))
    found = values(feed(made, schema("id", "amount", "currency", "branch")))
    assert found[0] == {"id": "1", "amount": "1.10", "currency": "EUR", "branch": "Rome"}
    assert found[1] == {"id": "2", "amount": None, "currency": None, "branch": None}


def test_what_may_repeat_is_a_list_however_often_it_stands_there(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale("0"), sale("1", more="<s:tag>a</s:tag>"), sale("2", more="<s:tag>a</s:tag><s:tag>b</s:tag>")]
    made = settings(server, one=table(fields={"first": "tag[0]"}))
    assert [(row["tag"], row["first"]) for row in values(feed(made, schema("id", "tag", "first")))] == [
        (None, None),
        (["a"], "a"),
        (["a", "b"], "a"),
    ]


def test_anytype_is_read_by_its_xsi_type_or_as_it_stands(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [
        sale("1", more='<s:detail xsi:type="xsd:int"> 7 </s:detail>'),
        sale("2", more='<s:detail xsi:type="s:Sale"><s:tag>t</s:tag></s:detail>'),
        sale("3", more="<s:detail><x><y> z </y></x></s:detail>"),
        sale("4", more='<s:detail kind="k"/>'),
    ]
    found = values(feed(settings(server), schema("id", "detail")))
    assert [row["detail"] for row in found] == ["7", {"tag": ["t"]}, {"x": {"y": " z "}}, {"@kind": "k"}]


def test_a_derived_type_brings_its_own_elements(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale("1", more="<s:shop>web</s:shop>").replace("<s:Sale", '<s:Sale xsi:type="s:OnlineSale"')]
    assert values(feed(settings(server), schema("id", "shop"))) == [{"id": "1", "shop": "web"}]


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_any_number_of_rows_is_that_number(server: SoapServer, sales: SalesService, count: int) -> None:
    sales.rows = [sale(str(number)) for number in range(count)]
    assert [row["id"] for row in values(feed(settings(server)))] == [str(number) for number in range(count)]


def test_columns_have_their_declared_types(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    sales.rows = [sale("1", updated="2026-11-21T10:00:00+01:00", deleted="false", amount="12.5", day="2026-11-21")]
    declared = schema("id", amount=Type.DECIMAL, updated=Type.TIMESTAMPTZ, deleted=Type.BOOLEAN, day=Type.DATE)
    [row] = Reader(settings(server), declared, tmp_path).to_end().rows.values()
    assert str(row["amount"]) == "12.5000"
    assert row["updated"] == datetime(2026, 11, 21, 9, tzinfo=UTC)
    assert row["deleted"] is False


def test_an_odd_row_is_a_dead_letter_with_its_xml_as_it_came_and_its_neighbours_count(
    server: SoapServer, sales: SalesService, tmp_path: Path
) -> None:
    odd = '<s:Sale  branch = "x&#10;y"><s:value><![CDATA[a<b]]></s:value ><s:id></s:id><s:id>2</s:id ></s:Sale >'
    sales.strict = False
    sales.rows = [sale("1"), odd, '<s:Sale xsi:nil="true"/>', "<s:Sale/>", sale("3")]
    reader = Reader(settings(server), SALE, tmp_path).to_end()
    assert list(reader.rows) == ["1", "3"]
    spelled = odd.replace("<s:Sale", f'<s:Sale xmlns:s="{SALES}"', 1)
    assert reader.letters[0].raw == spelled.encode()
    assert "id stands there 2 times" in reader.letters[0].reason
    assert reader.letters[0].locator == "record 2"
    assert reader.letters[1].raw == f'<s:Sale xmlns:xsi="{XSI}" xmlns:s="{SALES}" xsi:nil="true"/>'.encode()
    assert reader.letters[2].raw == f'<s:Sale xmlns:s="{SALES}"/>'.encode()
    assert "no key" in reader.letters[2].reason
    assert len(reader.letters) == 3


def test_what_is_odd_deep_in_a_row_makes_the_row_odd(server: SoapServer, sales: SalesService) -> None:
    deep = '<s:detail><x><y xsi:type="s:Sale"><s:id>1</s:id><s:id>2</s:id></y></x></s:detail>'
    sales.strict, sales.rows = False, [sale("1", more=deep), sale("2", more="<s:amount><b>1</b></s:amount>"), sale("3")]
    faults = [record.fault for record in records(feed(settings(server), schema("id", "detail", "amount")))]
    assert faults == ["id stands there 2 times, and once is declared", "amount holds elements, and text is declared", ""]


def test_a_letter_is_read_again_under_the_settings_of_today(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    """The path of the key was wrong; corrected, the letter is the row, with attributes and types as in an answer."""
    sales.rows = [sale("1", more='<s:amount currency="EUR"> 1.10 </s:amount><s:tag>t</s:tag>')]
    declared = schema("id", "amount", "currency", "tag")
    wrong = settings(server, one=table(fields={"id": '"amount@currency".nothing', "currency": '"amount@currency"'}))
    [letter] = Reader(wrong, declared, tmp_path).to_end().letters
    right = settings(server, one=table(fields={"currency": '"amount@currency"'}))
    change = Reader(right, declared, tmp_path).source.reread(letter)
    assert change.rows.to_pylist() == [{"id": "1", "amount": "1.10", "currency": "EUR", "tag": '["t"]'}]  # type: ignore[union-attr]


ENCODINGS = [("utf-8", "é"), ("utf-16", "日"), ("iso-8859-1", "é"), ("shift_jis", "日"), ("windows-1252", "€")]


@pytest.mark.parametrize(("encoding", "letter"), ENCODINGS)
def test_every_encoding_of_xml_is_read_and_a_letter_is_in_utf_8(
    server: SoapServer, sales: SalesService, encoding: str, letter: str
) -> None:
    sales.strict = False
    text = sales.answer(SOAP_11, [sale(letter), f"<s:Sale>{letter}</s:Sale>", sale("z")]).body.decode()
    server.next_replies.append(Reply(text.replace('encoding="utf-8"', f'encoding="{encoding}"').encode(encoding)))
    found = records(feed(settings(server)))
    assert [record.values.get("id") for record in found] == [letter, None, "z"]
    assert raw(found[1]).decode() == f'<s:Sale xmlns:s="{SALES}">{letter}</s:Sale>'


SPOILT = {
    "a control character": b"a\x0bb",
    "a reference to one": b"a&#x1F;b",
    "a bare ampersand": b"AT&T",
    "an entity of HTML": b"a&nbsp;b",
    "broken UTF-8": b"Z\xfcrich",
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT.keys())
def test_a_character_that_xml_cannot_hold_costs_its_row_only(
    server: SoapServer, sales: SalesService, tmp_path: Path, spoilt: bytes
) -> None:
    sales.strict = False
    body = sales.answer(SOAP_11, [sale("1", "fine & well"), sale("2", "SPOILT"), sale("3", "é")]).body
    server.services["/sales"] = lambda _: Reply(body.replace(b"SPOILT", spoilt))
    reader = Reader(settings(server), SALE, tmp_path).to_end()
    assert [row["value"] for row in reader.rows.values()] == ["fine & well", "é"]
    [letter] = reader.letters
    assert letter.raw == sale("2", "SPOILT").replace("<s:Sale", f'<s:Sale xmlns:s="{SALES}"').encode().replace(
        b"SPOILT", spoilt
    )
    assert "character that XML cannot hold" in letter.reason
    again = reader.source.reread(letter)
    assert isinstance(again, DeadLetter)


def test_such_a_character_outside_of_the_rows_is_a_broken_answer(server: SoapServer, sales: SalesService) -> None:
    sales.strict, sales.says = False, "<s:next>AT&T</s:next>"
    sales.rows = [sale("1")]
    with pytest.raises(TransientError, match="outside of its rows"):
        records(feed(settings(server)))


PAGED = {
    "page": ({"page": "{page}", "size": "{page_size}"}, {"size": 2}),
    "offset": ({"offset": "{offset}", "size": "{page_size}"}, {"size": 2}),
    "token": ({"token": "{token}", "size": "2"}, {"next": "ListSalesResult.next"}),
    "more": ({"page": "{page}", "size": "2"}, {"more": "ListSalesResult.more"}),
    "no flag": ({"page": "{page}", "size": "2"}, {"more": "ListSalesResult.Sales.Sale[0].deleted"}),
    "short": ({"page": "{page}", "size": "{page_size}"}, {"size": 2, "short_page_ends": True}),
}
CALLS = {"page": 4, "offset": 4, "token": 3, "more": 3, "no flag": 4, "short": 3}


@pytest.mark.parametrize("way", PAGED)
def test_pages_of_every_kind_are_read_to_their_end(server: SoapServer, sales: SalesService, way: str) -> None:
    sales.rows = [sale(str(number)) for number in range(5)]
    arguments, paging = PAGED[way]
    made = settings(server, one=table(arguments=arguments, paging=paging))
    assert [row["id"] for row in values(feed(made))] == ["0", "1", "2", "3", "4"]
    assert len(server.calls) == CALLS[way]


@pytest.mark.parametrize(
    ("arguments", "paging", "says", "problem"),
    [
        ({"filter": {"branch": "{page}"}}, {}, "", "same rows as an earlier one"),
        ({"token": "{token}"}, {"next": "ListSalesResult.next"}, "<s:next>7</s:next>", "token '7' came twice"),
        ({"page": "{page}", "size": "1"}, {"more": "ListSalesResult.next"}, "", "neither true nor false"),
        ({"token": "{token}"}, {"next": "ListSalesResult.Sales"}, "", "which is no text"),
        ({"page": "{page}", "size": "1"}, {"limit": 3}, "", "more than 3 pages"),
    ],
)
def test_pages_without_end_halt_with_a_message(
    server: SoapServer, sales: SalesService, arguments: dict[str, object], paging: dict[str, object], says: str, problem: str
) -> None:
    sales.rows, sales.says = [sale(str(number)) for number in range(9)], says
    with pytest.raises(SourceHalted, match=problem):
        records(feed(settings(server, one=table(arguments=arguments, paging=paging))))


def test_a_poll_begins_where_the_last_one_ended_less_the_overlap(
    server: SoapServer, sales: SalesService, tmp_path: Path
) -> None:
    arguments = {"since": "{cursor}"}
    made = settings(server, one=table(arguments=arguments, cursor={"field": "updated", "overlap": 60}))
    sales.rows = [sale("1", "a", updated="2026-11-21T12:00:00.1234567Z"), sale("2", "b", updated="2026-11-21T10:00:00+02:00")]
    reader = Reader(made, SALE, tmp_path).to_end()
    sales.rows.append(sale("3", "late", updated="2026-11-21T11:59:30Z"))
    reader.until(lambda reader: len(reader.rows) == 3)
    asked = [call.payload.findtext(f"{{{SALES}}}since") for call in server.calls if call.payload is not None]
    assert asked[0] is None
    assert set(asked[1:]) == {"2026-11-21T11:59:00.123456Z"}


@pytest.mark.parametrize(("ordered", "cursors"), [(False, [None, "12"]), (True, ["11", "12"])])
def test_the_cursor_moves_with_the_last_page_or_with_each_where_they_are_ordered(
    server: SoapServer, sales: SalesService, ordered: bool, cursors: list[str | None]
) -> None:
    sales.rows = [sale("1", updated="2026-11-20T11:00:00Z"), sale("2", updated="2026-11-20T12:00:00Z")]
    arguments = {"since": "{cursor}", "token": "{token}", "size": "1"}
    paging, cursor = {"next": "ListSalesResult.next"}, {"field": "updated"}
    one = table(arguments=arguments, paging=paging, cursor=cursor, ordered=ordered)
    pages = list(feed(settings(server, one=one)).pages(None))
    assert [page.cursor and page.cursor[11:13] for page in pages] == cursors


def test_a_wrong_clock_does_not_hide_what_changes_later(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    cursor = {"field": "updated", "overlap": 0}
    made = settings(server, one=table(arguments={"since": "{cursor}"}, cursor=cursor))
    sales.rows = [sale("1", updated="2026-11-20T10:00:00Z"), sale("2", updated="9999-12-31T23:59:59Z"), sale("3", updated="")]
    sales.strict = False
    reader = Reader(made, SALE, tmp_path).to_end()
    assert list(reader.rows) == ["1", "2", "3"]
    sales.rows.append(sale("4", updated="2026-11-20T11:00:00Z"))
    reader.until(lambda reader: "4" in reader.rows)


def test_a_cursor_is_written_as_its_argument_wants_it(server: SoapServer, sales: SalesService) -> None:
    arguments = {"filter": {"branch": "changed after {cursor:%d.%m.%Y %H:%M} local"}}
    cursor = {"field": "updated", "overlap": 0}
    made = settings(server, one=table(arguments=arguments, cursor=cursor, start="the beginning"), zone="Europe/Rome")
    records(feed(made), since="2026-07-01T22:30:00Z")
    records(feed(made))
    asked = [call.payload.findtext(f".//{{{SALES}}}branch") for call in server.calls if call.payload is not None]
    assert asked == ["changed after 02.07.2026 00:30 local", "changed after the beginning local"]


def test_a_cursor_may_be_a_number(server: SoapServer, sales: SalesService) -> None:
    cursor = {"field": "amount", "type": "number", "overlap": 0.5}
    made = settings(server, one=table(arguments={"filter": {"branch": "{cursor}"}}, cursor=cursor, fields={"value": "id"}))
    sales.rows = [sale("1", amount="9.5"), sale("2", amount="1e2"), sale("3", amount="10")]
    sales.strict = False
    [page] = feed(made).pages(None)
    assert page.cursor == "100"
    records(feed(made), since=page.cursor)
    assert server.calls[1].payload is not None
    assert server.calls[1].payload.findtext(f".//{{{SALES}}}branch") == "99.5"


def test_deletions_by_flag_and_by_a_full_list(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    sales.rows = [sale("1"), sale("2"), sale("3")]
    reader = Reader(settings(server, one=table(deleted={"field": "deleted", "values": ["true", "1"]})), SALE, tmp_path).to_end()
    sales.rows = [sale("1"), sale("2", deleted="1")]
    reader.until(lambda reader: list(reader.rows) == ["1"])


def test_a_full_list_that_is_empty_retracts_nothing(server: SoapServer, sales: SalesService, tmp_path: Path) -> None:
    sales.rows = [sale("1")]
    reader = Reader(settings(server), SALE, tmp_path).to_end()
    sales.rows = []
    before = len(server.calls)
    reader.until(lambda _: len(server.calls) > before + 2)
    assert list(reader.rows) == ["1"]


BOX = "ListSalesResult.Sales.Sale[].detail.box"


def boxes(count: int) -> str:
    return "<s:detail>" + "".join(f"<box><row><id>{n}</id></row></box>" for n in range(count)) + "</s:detail>"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_one_element_and_a_list_of_one_are_the_same(server: SoapServer, sales: SalesService, count: int) -> None:
    """Where the schema cannot say (anyType), the path does: [], [0], [*], [?...] and [1:] take a single one as a list."""
    sales.rows = [sale("1", more=boxes(count))]
    ids = [str(n) for n in range(count)]
    ways = {"[].row": ids, "[*].row": ids, "[0].row": ids[:1], "[1:].row": ids[1:], "[?row.id != '0'].row": ids[1:]}
    found = {way: [row["id"] for row in values(feed(settings(server, one=table(rows=BOX + way))))] for way in ways}
    assert found == ways


def test_a_path_that_does_not_fit_an_answer_is_not_passed_over_in_silence(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale("1", more=boxes(2))]
    with pytest.raises(SourceHalted, match=r"2 elements where row is looked up: write \[\]"):
        records(feed(settings(server, one=table(rows=f"{BOX}.row"))))
    with pytest.raises(SourceHalted, match=r"deep is looked up in the text '0', which holds no elements"):
        records(feed(settings(server, one=table(rows=f"{BOX}[].row.id.deep"))))


def test_no_field_becomes_a_float(server: SoapServer, sales: SalesService) -> None:
    sales.rows = [sale("1", amount="1.10")]
    made = settings(server, one=table(fields={"value": "to_number(amount)"}))
    assert "to_number makes an inexact number" in records(feed(made))[0].fault
    assert values(feed(settings(server, one=table(fields={"value": "join(' ', [id, amount])"}))))[0]["value"] == "1 1.10"
