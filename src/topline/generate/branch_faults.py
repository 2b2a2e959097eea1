"""Rows of a branch file that break a rule, each in its own way."""

from collections.abc import Callable
from random import Random

from topline.generate.branch_book import Sale
from topline.generate.world import Person

_KEPT = 500  # broken sales that may still be mended


class Faults:
    """Spoils sales, the ways taking turns, and mends them at random once their file was dropped."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._turn = 0
        self._broken: list[tuple[Sale, Sale]] = []

    def __len__(self) -> int:
        """How many ways there are."""
        return len(_FAULTS)

    def spoil(self, sale: Sale) -> Sale:
        good = Sale(sale.id, sale.sold_at, sale.moment, sale.place, sale.salesman, sale.amount, sale.currency)
        _FAULTS[self._turn % len(_FAULTS)](sale)
        sale.broken = True
        self._turn += 1
        if len(self._broken) < _KEPT:
            self._broken.append((sale, good))
        return sale

    def mend(self) -> Sale | None:
        """A sale that was broken is good again; None where no file with one can be dropped again."""
        ready = [pair for pair in self._broken if pair[0].files and pair[0].files[-1].dropped_at is not None]
        if not ready:
            return None
        sale, good = self._random.choice(ready)
        self._broken = [pair for pair in self._broken if pair[0] is not sale]
        _restore(sale, good)
        return sale


def _restore(sale: Sale, good: Sale) -> None:
    sale.sold_at, sale.moment, sale.place, sale.salesman = good.sold_at, good.moment, good.place, good.salesman
    sale.amount, sale.currency, sale.raw, sale.broken = good.amount, good.currency, None, False


def _amount_word(sale: Sale) -> None:
    sale.amount = "abc"


def _amount_nan(sale: Sale) -> None:
    sale.amount = "NaN"


def _amount_missing(sale: Sale) -> None:
    sale.amount = ""


def _foreign_currency(sale: Sale) -> None:
    sale.currency = "USD" if sale.currency != "USD" else "EUR"


def _city_missing(sale: Sale) -> None:
    sale.place = sale.place._replace(city="")


def _time_missing(sale: Sale) -> None:
    sale.sold_at, sale.moment = "", None


def _time_word(sale: Sale) -> None:
    sale.sold_at, sale.moment = "last week", None


def _salesman_missing(sale: Sale) -> None:
    sale.salesman = Person("", sale.salesman.name)


def _unreadable(sale: Sale) -> None:
    sale.raw = b"\xff\xfe\x81 %s \xc3\x28" % sale.id.encode()


def _missing_field(sale: Sale) -> None:
    sale.raw = sale.line().rpartition(b",")[0].rpartition(b",")[0]


def _decimal_comma(sale: Sale) -> None:
    """The amount in the branch's own habit, not quoted: one field too many."""
    before, _, currency = sale.line().rpartition(b",")
    sale.raw = before.replace(b".", b",") + b",00," + currency


def _latin_1(sale: Sale) -> None:
    fields = (sale.id, sale.sold_at, "Spain", "Andalucía", "Málaga", sale.salesman.id, "José Núñez", sale.amount, sale.currency)
    sale.raw = ",".join(fields).encode("latin-1")


def _no_key(sale: Sale) -> None:
    sale.raw = b"," + sale.line().partition(b",")[2]


_FAULTS: tuple[Callable[[Sale], None], ...] = (
    _amount_word,
    _unreadable,
    _city_missing,
    _missing_field,
    _foreign_currency,
    _latin_1,
    _amount_nan,
    _decimal_comma,
    _time_missing,
    _no_key,
    _amount_missing,
    _time_word,
    _salesman_missing,
)
