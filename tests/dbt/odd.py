"""A branch's file of odd rows: texts that databases read, sort and round each in a way of its own."""

import csv
import io
from itertools import product

HEADER = ["sale_id", "sold_at", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency"]
AMOUNTS = [
    "12.34565", "-12.34565", "0.00005", "-0.00005", " 7 ", "\u20037.5\u00a0", "+.5", "5.", "1e5", "1E-5", "1e14", "1e999",
    "99999999999999.99994", "99999999999999.99995", "NaN", "Infinity", "-inf", "--", "+", ".", "1,5", "1_000", "0x10", "٣",
    "１２", "1 2", "000000000000000000000000000000000001", "1" * 60,
]  # fmt: skip
TIMES = [
    "2024-02-29", "2023-02-29", "1899-12-31", "1900-01-01", "2999-12-31", "3000-01-01", "2024-03-31T02:30:00",
    "2024-10-27T02:30:00", "2024-03-01T23:30:00Z", "2024-03-01T23:30:00.123456789+05:30", "2024-03-01 22:59:59.9999999Z",
    "2024-03-01T24:00:00", "20240301", "01.03.2024", "today", "infinity", "2024-03-01T23:30+0100",
]  # fmt: skip
NAMES = ["Zoe", "ann", "Ann", "Émile", "Emile", "ä", "z", "Z", "ß", "ss", "İ", "i", "a b", "a-b", "ab", "\U0001f600", "\uffee"]


def odd_sales() -> str:
    """One defect or oddity a row; the names tie, so that only their bytes order them."""
    plain = {"sold_at": "2024-03-01", "country": "IT", "region": "", "city": "Roma", "salesman_id": "1", "salesman_name": "Ann",
             "amount": "10", "currency": "EUR"}  # fmt: skip
    changes = [
        *(
            {"amount": text, "city": f"c{n}", "salesman_id": f"a{n}"} for n, text in enumerate(AMOUNTS)
        ),  # a sum of all would not fit
        *({"sold_at": text} for text in TIMES),
        *({"salesman_id": name, "salesman_name": other} for name, other in product(NAMES, NAMES[:4])),
        *({"city": name, "region": other} for name, other in zip(NAMES, reversed(NAMES), strict=True)),
        *({column: blank} for column, blank in product(HEADER[1:], ["", " ", "\u3000"])),
        *({"currency": text} for text in ["eur", " EUR ", "USD"]),
    ]
    out = io.StringIO()
    writer = csv.DictWriter(out, HEADER)
    writer.writeheader()
    writer.writerows({"sale_id": f"odd-{number}", **plain, **change} for number, change in enumerate(changes))
    return out.getvalue()
