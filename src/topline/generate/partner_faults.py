"""Entries of the partner that break a rule, each in its own way, and what mends them later."""

from collections.abc import Callable
from dataclasses import replace

from topline.generate.partner_book import Deal, DealBook

_KEPT = 500  # broken deals that may still be mended


class PartnerFaults:
    """Spoils deals, the ways taking turns, and mends them at random."""

    def __init__(self, book: DealBook) -> None:
        self._book = book
        self._broken: list[Deal] = []  # as they should have been

    def __len__(self) -> int:
        """How many ways there are."""
        return len(_WAYS)

    def spoil(self, deal: Deal) -> Deal:
        bad = _WAYS[self._book.turn("fault") % len(_WAYS)](deal)
        if len(self._broken) < _KEPT:
            self._broken.append(deal)
        return bad

    def mend(self) -> Deal | None:
        """A deal that was broken, as it should have been from the start."""
        if not self._broken:
            return None
        good = self._broken.pop(self._book.random.randrange(len(self._broken)))
        self._book.keep(good)
        return good


def _amount_word(deal: Deal) -> Deal:
    return replace(deal, amount="ca. 50", value=None)


def _no_number(deal: Deal) -> Deal:
    return replace(deal, numbered=False)


def _town_missing(deal: Deal) -> Deal:
    return replace(deal, place=deal.place._replace(city=""))


def _day_that_is_none(deal: Deal) -> Deal:
    return replace(deal, sold_on="31.02.2026 09:15", moment=None)


def _foreign_currency(deal: Deal) -> Deal:
    return replace(deal, currency="USD" if deal.currency != "USD" else "EUR")


def _decimal_point(deal: Deal) -> Deal:
    """A dot where the partner has a comma: it could be anything."""
    return replace(deal, amount="12.5", value=None)


def _town_blank(deal: Deal) -> Deal:
    return replace(deal, place=deal.place._replace(city="  "))


def _agent_missing(deal: Deal) -> Deal:
    return replace(deal, salesman=deal.salesman._replace(id=""))


def _amount_missing(deal: Deal) -> Deal:
    return replace(deal, amount=None, value=None)


def _time_missing(deal: Deal) -> Deal:
    return replace(deal, sold_on=None, moment=None)


def _time_word(deal: Deal) -> Deal:
    return replace(deal, sold_on="gestern", moment=None)


_WAYS: tuple[Callable[[Deal], Deal], ...] = (
    _amount_word,
    _no_number,
    _town_missing,
    _day_that_is_none,
    _foreign_currency,
    _decimal_point,
    _town_blank,
    _agent_missing,
    _amount_missing,
    _time_missing,
    _time_word,
)
