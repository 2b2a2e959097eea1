"""What public data sets do (retail invoices, open government data, superstores, city lists), in rows of the same kinds made by
hand: read as a new user would, and ranked exactly."""

import shutil
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest

from examples.tpch.load import PROJECT
from tests.project import TestProject, embedded_dsn

SETTINGS = """
project: public
time_zone: Europe/Madrid
sources:
  open:
    kind: files
    settle: 0.05
    tables:
      retail:
        path: in/retail.csv
        delimiter: ";"
        columns:
          InvoiceDate: {format: ["%m/%d/%Y %H:%M", "%m/%d/%y %H:%M"]}
      pagos:
        path: in/pagos.csv
        delimiter: ";"
        columns:
          ImpoPaon: {decimal: ","}
          FechPaon: {format: "%d/%m/%Y %H:%M"}
      pacientes:
        path: in/pacientes.csv
        columns:
          total: {field: " Valor Total Liberado ", thousands: ","}
      orders:
        path: in/orders.csv
        columns:
          Order Date: {format: "%d/%m/%Y"}
          Sales: {decimal: ","}
      wide: {path: in/wide.csv}
"""

WIDE = 2_000
FILES = {
    # delimiters, CR LF, two ways to write a day in one column, NA for nothing, a return, a price of nothing, a key that is none
    "retail.csv": (
        "X.1;InvoiceNo;StockCode;Description;Quantity;InvoiceDate;UnitPrice;CustomerID\r\n"
        '1;536365;84347;LETTER "E" BLING KEY RING;2;12/06/2010 10:08;5.06;NA\r\n'
        "2;544299;16161P;POPPY'S PLAYHOUSE;25;2/20/11 11:39;0.42;13178\r\n"
        "3;C536379;D;Discount;-1;12/01/2010 09:41;27.50;14527\r\n"
        "4;536414;22139;?;56;12/01/2010 11:52;0.00;NA\r\n"
        "5;536409;21866;UNION JACK FLAG;1;12/01/2010 11:45;1.25;17908\r\n"
        "6;536409;21866;UNION JACK FLAG;1;12/01/2010 11:46;1.25;17908\r\n"
    ),
    # a byte-order mark, a decimal comma, \N, days without leading zeros, a number that a spreadsheet has spoilt
    "pagos.csv": (
        "\ufeffCodiPaon;NumeOper;ImpoPaon;FechPaon\n"
        "100242847;2,023E+11;3925,74;5/7/2023 00:00\n"
        "125410306;\\N;4486,5;6/7/2023 15:08\n"
        "125410307;\\N;12;31/6/2023 15:08\n"
    ),
    # spaces around names and numbers, thousands, an accent of its own, a dash for nothing
    "pacientes.csv": unicodedata.normalize(
        "NFD",
        "ID,Código do Procedimento Principal, Valor Total Liberado \n"
        '1,31101569,"52,950.00"\n'
        '2,30715016," 1,234,567.05 "\n'
        "3,1, -   \n",
    ),
    # names with spaces and slashes, decimals beyond four, a city in two regions, in two cases, and in two ways to write é
    "orders.csv": (
        "Row ID,Order Date,City,State/Province,Country/Region,Customer Name,Sales\n"
        '1,7/2/2022,Halle,Saxony-Anhalt,Germany,Zoë,"79,2"\n'
        '2,07/02/2022,Halle,North Rhine-Westphalia,Germany,Zoé,"79,20"\n'
        '3,7/2/2022,HALLE,Saxony-Anhalt,Germany,b,"2794,2525"\n'
        '4,7/2/2022,Saint-Étienne,,France,B,"0,00005"\n'
        f'5,7/2/2022,{unicodedata.normalize("NFD", "Saint-Étienne")},,France,B,"-0,00005"\n'
        '6,7/2/2022, Saint-Étienne ,,France,B,"33,70511279750195"\n'
        '7,7/2/2022,"Villeneuve-\nd\'Ascq",,France,【よく当たる】手相鑑定,"79,2"\n'
    ),
    "wide.csv": "\n".join(",".join(f"{kind}{n}" for n in range(WIDE)) for kind in ("c", "1", "2")),
}

SOURCES = """
sources:
  - name: open
    tables:
      - name: retail
        config: {meta: {key: [InvoiceNo, StockCode]}}
        columns:
          - {name: InvoiceNo, data_type: text}
          - {name: StockCode, data_type: text}
          - {name: Description, data_type: text}
          - {name: Quantity, data_type: text}
          - {name: InvoiceDate, data_type: text}
          - {name: UnitPrice, data_type: text}
          - {name: CustomerID, data_type: text}
      - name: pagos
        config: {meta: {key: [CodiPaon]}}
        columns:
          - {name: CodiPaon, data_type: text}
          - {name: NumeOper, data_type: text}
          - {name: ImpoPaon, data_type: text}
          - {name: FechPaon, data_type: text}
      - name: pacientes
        config: {meta: {key: [ID]}}
        columns:
          - {name: ID, data_type: text}
          - {name: Código do Procedimento Principal, data_type: text}
          - {name: total, data_type: text}
      - name: orders
        config: {meta: {key: [Row ID]}}
        columns:
          - {name: Row ID, data_type: text}
          - {name: Order Date, data_type: text}
          - {name: City, data_type: text}
          - {name: State/Province, data_type: text}
          - {name: Country/Region, data_type: text}
          - {name: Customer Name, data_type: text}
          - {name: Sales, data_type: numeric}
      - name: wide
        config: {meta: {key: [c0]}}
        columns: [{name: c0, data_type: text}, {name: c1999, data_type: text}]
"""

MODELS = {
    "retail": """
        select "InvoiceNo" as invoice, {{ sale_date('"InvoiceDate"', 'Europe/London') }} as date,
            {{ to_instant('"InvoiceDate"', 'Europe/London') }} as instant,
            {{ try_times(try_decimal('"UnitPrice"'), try_decimal('"Quantity"')) }} as amount,
            nullif("CustomerID", 'NA') as customer, "Description" as description, "StockCode" as stock_code
        from {{ source('open', 'retail') }}""",
    "pagos": """
        select "CodiPaon" as id, {{ try_decimal('"ImpoPaon"') }} as amount, {{ sale_date('"FechPaon"', 'UTC') }} as date,
            {{ try_decimal('"NumeOper"') }} as operation
        from {{ source('open', 'pagos') }}""",
    "pacientes": """
        select "ID" as id, "Código do Procedimento Principal" as code, {{ try_decimal('total') }} as amount
        from {{ source('open', 'pacientes') }}""",
    "sales": """
        select "Row ID" as id, {{ try_date('"Order Date"') }} as date, "Country/Region" as country,
            coalesce({{ nonempty('"State/Province"') }}, '') as region, {{ nonempty('"City"') }} as city,
            "Customer Name" as salesman, {{ try_decimal('"Sales"') }} as amount
        from {{ source('open', 'orders') }}""",
    "cities": """
        select date, country, region, city, sum(amount) as total, count(*) as sales
        from {{ ref('sales') }} group by date, country, region, city""",
    "salesmen": """
        with totals as (select date, salesman, sum(amount) as total from {{ ref('sales') }} group by date, salesman),
        ranked as (
            select date, salesman, total, row_number() over (
                partition by date order by total desc nulls last, {{ by_bytes('salesman') }}) as rank
            from totals)
        select * from ranked where rank <= 4""",
    "wide": "select c0, c1999 from {{ source('open', 'wide') }}",
}  # fmt: skip


@pytest.fixture(scope="module")
def public(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestProject]:
    """A project that a new user wrote, run once; the audit, against the sources too, is equal."""
    project = TestProject(tmp_path_factory.mktemp("public"))
    shutil.copytree(PROJECT.parents[1] / "sales" / "macros", project.folder / "macros")
    write(project.folder, "dbt_project.yml", "name: public\n")
    write(project.folder, "topline.yml", SETTINGS)
    write(project.folder, ".env", "TOPLINE_API__PORT=0\n")
    write(project.folder, "models/live/sources.yml", SOURCES)
    for name, text in MODELS.items():
        write(project.folder, f"models/live/{name}.sql", text)
    for name, text in FILES.items():
        write(project.folder, f"in/{name}", text)
    with project.server():
        project.call("check")
        project.call("run", "--until-idle", "--strict")
        project.call("audit", "--sources")
        yield project


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(text.encode())


def rows(project: TestProject, query: str) -> list[tuple[object, ...]]:
    with psycopg.connect(embedded_dsn(project, "topline"), options="-c search_path=topline -c TimeZone=UTC") as connection:
        return connection.execute(query.encode()).fetchall()


def test_two_ways_to_write_a_day_stand_in_one_column(public: TestProject) -> None:
    found = rows(
        public, "SELECT invoice, date::text, instant::text FROM retail WHERE invoice IN ('536365', '544299') ORDER BY 1"
    )
    assert found == [
        ("536365", "2010-12-06", "2010-12-06 10:08:00+00"),
        ("544299", "2011-02-20", "2011-02-20 11:39:00+00"),
    ]


def test_a_return_is_negative_and_a_gift_is_a_sale_of_nothing(public: TestProject) -> None:
    found = rows(public, "SELECT invoice, amount, customer FROM retail WHERE amount <= 0 ORDER BY 1")
    assert found == [("536414", Decimal("0.0000"), None), ("C536379", Decimal("-27.5000"), "14527")]


def test_of_a_key_that_stands_twice_the_last_row_counts(public: TestProject) -> None:
    assert rows(public, "SELECT instant::text FROM retail WHERE invoice = '536409'") == [("2010-12-01 11:46:00+00",)]


def test_a_decimal_comma_and_days_without_zeros_are_read_and_the_rest_is_nothing(public: TestProject) -> None:
    found = rows(public, "SELECT id, amount, date::text, operation FROM pagos ORDER BY id")
    assert found == [
        ("100242847", Decimal("3925.7400"), "2023-07-05", None),  # 2,023E+11 has lost its digits: better none than wrong ones
        ("125410306", Decimal("4486.5000"), "2023-07-06", None),
        ("125410307", Decimal("12.0000"), None, None),  # June has thirty days
    ]


def test_a_header_with_spaces_around_and_accents_of_their_own_serves(public: TestProject) -> None:
    found = rows(public, "SELECT id, code, amount FROM pacientes ORDER BY id")
    assert found == [
        ("1", "31101569", Decimal("52950.0000")),
        ("2", "30715016", Decimal("1234567.0500")),
        ("3", "1", None),
    ]


def test_cities_are_told_apart_by_region_and_by_bytes(public: TestProject) -> None:
    found = rows(public, "SELECT region, city, total, sales FROM cities ORDER BY country, region, city")
    composed, apart = "Saint-Étienne", unicodedata.normalize("NFD", "Saint-Étienne")
    assert sorted(found, key=repr) == sorted(
        [
            ("North Rhine-Westphalia", "Halle", Decimal("79.2000"), 1),
            ("Saxony-Anhalt", "HALLE", Decimal("2794.2525"), 1),
            ("Saxony-Anhalt", "Halle", Decimal("79.2000"), 1),
            ("", composed, Decimal("33.7052"), 2),  # each rounded once, half away from zero: 0.0001 and 33.7051
            ("", apart, Decimal("-0.0001"), 1),
            ("", "Villeneuve-\nd'Ascq", Decimal("79.2000"), 1),
        ],
        key=repr,
    )


def test_ties_are_settled_by_bytes_whatever_the_script(public: TestProject) -> None:
    found = rows(public, "SELECT salesman, rank FROM salesmen ORDER BY rank")
    assert found == [("b", 1), ("Zoé", 2), ("Zoë", 3), ("【よく当たる】手相鑑定", 4)]


def test_two_of_two_thousand_columns_are_read(public: TestProject) -> None:
    assert rows(public, "SELECT c0, c1999 FROM wide ORDER BY c0") == [("10", "11999"), ("20", "21999")]
