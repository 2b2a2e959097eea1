"""What a sale is in each version: a function of its number and version, so that any part is made at any time, alone."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

SALESMEN, CITIES, DAYS = 3_000, 2_000, 60
ROUND = 10
"""How many cities a salesman visits."""
LATEST = 30
"""A late sale is up to so many days late."""
FIRST_DAY = np.datetime64("2026-01-01", "s").astype(np.int64)
_DAY = 86_400
COLUMNS = ("sale_id", "sold_at", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency")
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
_Words = npt.NDArray[np.uint64]


class Fields(NamedTuple):
    """Of sales, by number: when (seconds since the epoch, UTC), who, where, and how much (cents)."""

    sale: Ints
    second: Ints
    salesman: Ints
    city: Ints
    cents: Ints


def fields(sale: Ints, version: Ints, late: Flags, per_day: int) -> Fields:
    """`per_day` sales are made a day, one after another. An update changes the amount, of one in four the salesman and the
    city, of one in four the day."""
    first, now = _noise(sale, np.zeros_like(version)), _noise(sale, version)
    updated = version > 0
    person = np.where(updated & (now & 3 == 0), now, first)
    salesman = _draw(person, 1, SALESMEN)
    stop = _draw(person, 2, ROUND)
    unit = _mix((salesman * ROUND + stop).astype(np.uint64)) / np.float64(2**64)
    moved = np.where(updated & (now & 12 == 0), 1 + _draw(now, 3, 5), 0)
    behind = np.where(late, 1 + _draw(first, 4, LATEST), 0)
    day = np.maximum(sale // per_day - behind - moved, 0)
    second = FIRST_DAY + day * _DAY + _draw(first, 5, _DAY)
    return Fields(sale, second, salesman, (unit**2 * CITIES).astype(np.int64), 100 + _draw(now, 6, 999_900))


def _noise(sale: Ints, version: Ints) -> _Words:
    return _mix(sale.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + version.astype(np.uint64))


def _mix(word: _Words) -> _Words:
    """The finish of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))


def _draw(noise: _Words, which: int, below: int) -> Ints:
    return (_mix(noise + np.uint64(which)) % np.uint64(below)).astype(np.int64)


def text_table(rows: Fields) -> pa.Table:
    """As a branch's file has them: nine columns of text."""
    typed = table(rows)
    texts = [typed[name].combine_chunks() for name in typed.column_names]
    return pa.table([column.cast(pa.string()) for column in texts], names=typed.column_names)


def table(rows: Fields) -> pa.Table:
    """With the amount as a decimal and the time as an instant."""
    city, man = pa.array(rows.city), pa.array(rows.salesman)
    return pa.table(
        {
            "sale_id": sale_ids(rows.sale),
            "sold_at": pa.array(rows.second).cast(pa.timestamp("s", tz="UTC")),
            **{name: texts.take(city) for name, texts in PLACES.items()},
            **{name: texts.take(man) for name, texts in PEOPLE.items()},
            "amount": cents(rows.cents),
            "currency": pa.repeat("EUR", len(rows.sale)),
        }
    )


def sale_ids(sale: Ints) -> pa.Array:
    return pc.binary_join_element_wise("S", pc.utf8_lpad(pa.array(sale).cast(pa.string()), 9, "0"), "")


def cents(values: Ints) -> pa.Array:
    """Units of a hundredth as DECIMAL(18, 2), by their bytes: the low word of a decimal of 128 bits is the number."""
    words = np.zeros((len(values), 2), np.int64)
    words[:, 0] = values
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(values), [None, pa.py_buffer(words.tobytes())])


def _places() -> dict[str, pa.Array]:
    """Forty cities a region, five regions a country; of the names of cities a quarter stands in two regions."""
    number = range(CITIES)
    return {
        "country": pa.array([f"Country {n // 200}" for n in number]),
        "region": pa.array([f"Region {n // 40}" for n in number]),
        "city": pa.array([f"City {n % 1500}" for n in number]),
    }


PLACES = _places()
PEOPLE = {
    "salesman_id": pa.array([f"M{n:04d}" for n in range(SALESMEN)]),
    "salesman_name": pa.array([f"Name {n}" for n in range(SALESMEN)]),
}
