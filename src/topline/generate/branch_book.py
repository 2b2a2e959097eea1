"""The branches' sales and files as the planner knows them: lines to write, and what each sale counts for."""

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from random import Random

from topline.generate.events import Drop, Fact
from topline.generate.world import Person, Place

COLUMNS = ("sale_id", "sold_at", "country", "region", "city", "salesman_id", "salesman_name", "amount", "currency")
_UNIT = Decimal("0.0001")
_FILES_KEPT = 60
_BULK_FILES_KEPT = 2


@dataclass(slots=True)
class Sale:
    """One row. `sold_at` is the text that the branch writes, `moment` what it means: an instant, or a date as it stands.

    `raw` is what stands in the file in place of the row, when it does not even split into fields.
    """

    id: str
    sold_at: str
    moment: datetime | date | None
    place: Place
    salesman: Person
    amount: str
    currency: str
    raw: bytes | None = None
    broken: bool = False
    copied: bool = False  # ever in a second file: taking it out of one would leave it in the other
    files: list["File"] = field(default_factory=list)

    def fields(self) -> tuple[str, ...]:
        return (self.id, self.sold_at, *self.place, *self.salesman, self.amount, self.currency)

    def line(self) -> bytes:
        if self.raw is not None:
            return self.raw
        fields = self.fields()
        line = ",".join(fields)
        plain = '"' not in line and line.count(",") == len(fields) - 1
        return (line if plain else ",".join(map(_quoted, fields))).encode()


@dataclass(slots=True, eq=False)
class File:
    """A file and what stands in it.

    stale   ids of sales in which it differs from what was dropped last under its name
    raw     ids of sales that do not split into fields; while there are some, a file retracts nothing
    ids     every id that ever stood in it, to draw from
    broken  how many rows were broken when they came
    """

    name: str
    sales: dict[str, Sale] = field(default_factory=dict)
    stale: dict[str, None] = field(default_factory=dict)
    raw: dict[str, None] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    broken: int = 0
    dropped_at: float | None = None

    def bears_loss(self) -> bool:
        """Whether a row may vanish: a file that is empty, or holds an unreadable line, retracts nothing."""
        return not self.raw and len(self.sales) - self.broken > 2


class SaleBook:
    """Which file holds which sale. Only the last files are kept: what has left may not be corrected any more.

    A sale may stand in several files once a newer one corrected it. Whatever is dropped, the file dropped last that holds
    a sale holds its current values: so reading the folder by time from scratch and following it live come to the same.
    """

    def __init__(self, currency: str, bulk: bool, random: Random) -> None:
        self._currency, self._random = currency, random
        self._kept = _BULK_FILES_KEPT if bulk else _FILES_KEPT
        self.files: list[File] = []

    def add(self, file: File, sale: Sale) -> None:
        self.touch(sale)
        file.sales[sale.id] = sale
        file.stale[sale.id] = None
        file.ids.append(sale.id)
        file.broken += sale.broken
        if sale.raw is not None:
            file.raw[sale.id] = None
        sale.copied = sale.copied or bool(sale.files)
        sale.files.append(file)

    def touch(self, sale: Sale) -> None:
        """The sale's values are not those in its files any more."""
        for file in sale.files:
            file.stale[sale.id] = None
            if sale.raw is None:
                file.raw.pop(sale.id, None)

    def remove(self, sale: Sale) -> None:
        (file,) = sale.files
        del file.sales[sale.id]
        file.stale[sale.id] = None
        sale.files.clear()

    def pick(self) -> Sale | None:
        """A sale that counts, of a file that was dropped."""
        for _ in range(8):
            file = self._random.choice(self.files) if self.files else None
            sale = file and file.sales.get(self._random.choice(file.ids))
            if sale and not sale.broken:
                return sale
        return None

    def removable(self) -> Sale | None:
        """A sale that was in one file alone, which bears the loss."""
        for _ in range(8):
            sale = self.pick()
            if sale and not sale.copied and sale.files[0].bears_loss():
                return sale
        return None

    def fresh(self) -> File | None:
        """A file that says what was dropped last under its name."""
        files = [file for file in self.files if not file.stale]
        return self._random.choice(files) if files else None

    def drop(self, file: File, at: float) -> tuple[Drop, list[Fact]]:
        """The file with its current rows, and the facts that this settles. Files beyond those kept are forgotten."""
        facts = [self._fact(file, sale_id) for sale_id in file.stale]
        file.stale.clear()
        if file.dropped_at is None:
            self.files.append(file)
            for old in self.files[: -self._kept]:
                self._forget(old)
            del self.files[: -self._kept]
        file.dropped_at = at
        header = ",".join(COLUMNS).encode()
        return Drop(file.name, (header, *(sale.line() for sale in file.sales.values()))), facts

    def _forget(self, file: File) -> None:
        for sale in file.sales.values():
            sale.files = [other for other in sale.files if other is not file]

    def _fact(self, file: File, sale_id: str) -> Fact:
        sale = file.sales.get(sale_id)
        return Fact("branch_sales", sale_id, None if sale is None or sale.raw is not None else self._row(sale))

    def _row(self, sale: Sale) -> tuple[object, ...]:
        instant = sale.moment if isinstance(sale.moment, datetime) else None
        day = sale.moment if sale.moment is not None and instant is None else None
        amount = _money(sale.amount)
        return (instant, day, *sale.place, *sale.salesman, amount, self._fault(sale, amount))

    def _fault(self, sale: Sale, amount: Decimal | None) -> str | None:
        if sale.currency != self._currency:
            return "currency"
        if sale.moment is None:
            return "time"
        missing = "city" if not sale.place.city else "salesman_id" if not sale.salesman.id else None
        return "amount" if amount is None else missing


def _money(text: str) -> Decimal | None:
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value.quantize(_UNIT, ROUND_HALF_UP) if value.is_finite() else None


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text
