"""Which table holds the sales, and where what a sale needs is to be found: in it, in what it refers to, or in its lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from topline.scaffold.found import FoundColumn, FoundTable, Reference
from topline.scaffold.words import NUMBERED, PEOPLE, SALES, rank, stems, words
from topline.schema import Type

_TIMES = frozenset({Type.DATE, Type.TIMESTAMP, Type.TIMESTAMPTZ})
_DEPTH = 3  # references that are followed from the sales to a city or a salesman
_SOUGHT = ("date", "amount", "city", "region", "country", "salesman_id", "currency")


@dataclass(frozen=True, slots=True)
class Join:
    """`table` under `alias`, reached from `parent` by a reference."""

    alias: str
    table: FoundTable
    parent: str
    reference: Reference


@dataclass(frozen=True, slots=True)
class Use:
    """A column of what is joined under `alias`."""

    alias: str
    column: FoundColumn


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a sale, in a table that refers to it: an amount, or a price times a quantity, less a discount."""

    table: FoundTable
    reference: Reference
    price: FoundColumn
    quantity: FoundColumn | None = None
    discount: FoundColumn | None = None


@dataclass(frozen=True, slots=True)
class Sketch:
    """`uses`: role -> where it was found; several columns of `salesman_name` are put one after the other."""

    fact: FoundTable
    uses: Mapping[str, tuple[Use, ...]]
    joins: tuple[Join, ...] = ()
    lines: Lines | None = None

    @property
    def tables(self) -> list[FoundTable]:
        """All that it reads, each once."""
        read = [self.fact, *(join.table for join in self.joins), *([self.lines.table] if self.lines else [])]
        return list({table.name: table for table in read}.values())

    def read(self, table: FoundTable) -> set[str]:
        """The columns of one of these tables that something is taken from, or that joins go by; its key."""
        return set(table.key) | set(self._used(table.name))

    def _used(self, table: str) -> Iterator[str]:
        places = {self.fact.name: self.fact.name, **{join.alias: join.table.name for join in self.joins}}
        for use in (use for uses in self.uses.values() for use in uses):
            yield from (use.column.name,) if places[use.alias] == table else ()
        for join in self.joins:
            yield from join.reference.columns if places[join.parent] == table else ()
            yield from join.reference.referred if join.table.name == table else ()
        if self.lines is not None and self.lines.table.name == table:
            yield from self.lines.reference.columns
            parts = (self.lines.price, self.lines.quantity, self.lines.discount)
            yield from (column.name for column in parts if column is not None)


@dataclass(slots=True)
class _Draft:
    """A sketch in the making over one table."""

    fact: FoundTable
    tables: Mapping[str, FoundTable]
    uses: dict[str, tuple[Use, ...]] = field(default_factory=dict)
    reached: list[Join] = field(default_factory=list)
    lines: Lines | None = None


def sketch(tables: Sequence[FoundTable]) -> Sketch:
    """The likeliest sales among the tables (at least one). What was not found is missing in `uses`."""
    known = {table.name: _with_told_references(table, tables) for table in tables}
    drafts = [_drafted(table, known) for table in known.values()]
    best = max(drafts, key=_likelihood)
    needed = _needed(best)
    return Sketch(best.fact, best.uses, tuple(join for join in best.reached if join.alias in needed), best.lines)


def _with_told_references(table: FoundTable, tables: Sequence[FoundTable]) -> FoundTable:
    """Where a database declares no foreign keys, a column of the name of another table's key refers to it."""
    declared = {name for reference in table.references for name in reference.columns}
    told = [
        Reference(other.key, other.name, other.key)
        for other in tables
        if other.name != table.name and len(other.key) == 1 and other.key[0] not in declared and len(words(other.key[0])) > 1
        if any(column.name == other.key[0] for column in table.columns) and table.key != other.key
    ]
    return replace(table, references=(*table.references, *told))


def _drafted(fact: FoundTable, tables: Mapping[str, FoundTable]) -> _Draft:
    draft = _Draft(fact, tables, reached=list(_reached(fact, tables)))
    draft.lines = _lines(fact, tables)
    for role in _SOUGHT:
        if (use := _sought(role, draft)) is not None:
            draft.uses[role] = (use,)
    if draft.lines is not None and not ("amount" in draft.uses and draft.uses["amount"][0].alias == fact.name):
        draft.uses.pop("amount", None)
    else:
        draft.lines = None
    if "salesman_id" in draft.uses:
        draft.uses["salesman_name"] = _name_of(draft.uses["salesman_id"][0], draft)
    return draft


def _likelihood(draft: _Draft) -> tuple[int, int, int, int]:
    """What a table of sales has: a date and an amount, its name, then the rest; of equals the larger one."""
    own = {role for role, uses in draft.uses.items() if uses and uses[0].alias == draft.fact.name}
    has_amount = "amount" in own or draft.lines is not None
    essential = 2 * ("date" in own) + 2 * has_amount
    named = int(bool(SALES & stems(draft.fact.name)))
    return essential + named, len(draft.uses), named, draft.fact.rows


def _reached(fact: FoundTable, tables: Mapping[str, FoundTable]) -> Iterator[Join]:
    """Every table that can be reached by references, the nearer ones first; each way once."""
    names = {fact.name: 1}
    front, depth = [(fact.name, fact)], 0
    while front and depth < _DEPTH:
        found = []
        for alias, table in front:
            for reference in table.references:
                if reference.to == fact.name or reference.to not in tables:
                    continue
                number = names[reference.to] = names.get(reference.to, 0) + 1
                join = Join(reference.to if number == 1 else f"{reference.to}_{number}", tables[reference.to], alias, reference)
                yield join
                found.append((join.alias, join.table))
        front, depth = found, depth + 1


def _sought(role: str, draft: _Draft) -> Use | None:
    """The best column of the role: the sale's own, else the nearest one. A salesman's city is not the sale's."""
    if role == "salesman_id":
        return _salesman(draft)
    if (own := _best(role, draft.fact)) is not None:
        return Use(draft.fact.name, own)
    if role in ("date", "amount"):
        return None
    for join in draft.reached:
        if not _is_person(join, draft) and (column := _best(role, join.table)) is not None:
            return Use(join.alias, column)
    return None


def _best(role: str, table: FoundTable) -> FoundColumn | None:
    """The column whose name fits a role best, of a type that can serve."""
    ranked = [(place, column) for column in table.columns if (place := _fit(role, column, table)) is not None]
    return min(ranked, key=lambda pair: pair[0])[1] if ranked else None


def _fit(role: str, column: FoundColumn, table: FoundTable) -> int | None:
    referring = {name for reference in table.references for name in reference.columns}
    numeric = column.number or column.type is Type.BIGINT
    plain = column.type is Type.TEXT and not column.number
    serves = {
        "date": column.type in _TIMES or plain,
        "amount": (numeric or plain) and column.name not in referring and column.name not in table.key,
        "quantity": numeric and column.name not in referring and column.name not in table.key,
        "unit_price": numeric and column.name not in referring and column.name not in table.key,
        "discount": numeric,
    }.get(role, plain and column.name not in referring)
    place = rank(role, column.name) if serves else None
    if place is None and role in ("city", "country", "region") and {"name"} <= set(words(column.name)):
        return 50 if rank(role, table.name) is not None else None  # `name` of a table of cities
    # A time is likelier than a text of a date's name, and a number than a text of an amount's.
    return place + 100 if place is not None and plain and role in ("date", "amount") else place


def _salesman(draft: _Draft) -> Use | None:
    """Who sold: a reference to people or by a name of theirs, at the sale or at what it refers to; else a plain column."""
    for join in draft.reached:
        if len(join.reference.referred) == 1 and _is_person(join, draft):
            return Use(join.alias, join.table.column(join.reference.referred[0]))
    serving = [column for column in draft.fact.columns if column.type in (Type.TEXT, Type.BIGINT)]
    amount = [use.column for use in draft.uses.get("amount", ())]
    own = [column for column in serving if column.name not in draft.fact.key and column not in amount]
    plain = [(place, column) for column in own if (place := rank("salesman_id", column.name)) is not None]
    ids = [pair for pair in plain if NUMBERED & stems(pair[1].name)]
    return Use(draft.fact.name, min(ids or plain, key=lambda pair: pair[0])[1]) if plain else None


def _is_person(join: Join, draft: _Draft) -> bool:
    by_column = any(rank("salesman_id", name) is not None for name in join.reference.columns)
    alias, parents = join.parent, {one.alias: one for one in draft.reached}
    below = alias in parents and _is_person(parents[alias], draft)
    return bool(PEOPLE & stems(join.table.name)) or by_column or below


def _name_of(salesman: Use, draft: _Draft) -> tuple[Use, ...]:
    """First and last name, or what is called a name, in the table that the salesman's id stands in."""
    tables = {draft.fact.name: draft.fact, **{join.alias: join.table for join in draft.reached}}
    table = tables[salesman.alias]
    first, last = _best("first_name", table), _best("last_name", table)
    if first is not None and last is not None and first != last:
        return (Use(salesman.alias, first), Use(salesman.alias, last))
    name = _best("salesman_name", table)
    taken = {use for uses in draft.uses.values() for use in uses}  # `City: Name` is a city's
    named = Use(salesman.alias, name) if name is not None else None
    return (named,) if named is not None and named not in taken else ()


def _lines(fact: FoundTable, tables: Mapping[str, FoundTable]) -> Lines | None:
    """A table that refers to the sale and has amounts, or prices with quantities."""
    for table in tables.values():
        for reference in table.references:
            if reference.to != fact.name or table.name == fact.name:
                continue
            quantity = _best("quantity", table)
            price = _best("unit_price" if quantity is not None else "amount", table)
            if price is not None and price != quantity:
                extended = "extended" in price.name or "total" in words(price.name)
                return Lines(table, reference, price, None if extended else quantity, _best("discount", table))
    return None


def _needed(draft: _Draft) -> set[str]:
    """Aliases that something is taken from, and those on the way to them."""
    parents = {join.alias: join.parent for join in draft.reached}
    needed: set[str] = set()
    for use in (use for uses in draft.uses.values() for use in uses):
        alias = use.alias
        while alias in parents:
            needed.add(alias)
            alias = parents[alias]
    return needed
