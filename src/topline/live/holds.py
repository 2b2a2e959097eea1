"""Tables whose changes are kept but not folded, and the models that therefore keep their last published epoch."""

from collections.abc import Iterable, Mapping

from topline.changes import SchemaChange, Sweep, TableChanges
from topline.log import Log
from topline.models.plan import ProjectPlan
from topline.schema import TableSchema


def unbearable(table: TableSchema, found: TableSchema) -> str:
    """Why models that read `table` cannot go on with the source's columns as `found`; '' when they can."""
    have = {column.name: column.type for column in found.columns}
    gone = [name for name in table.names if name not in have]
    if gone:
        return f"table {table.name} lost the column{'s' if len(gone) > 1 else ''} {', '.join(gone)}"
    changed = [c for c in table.columns if have[c.name] != c.type]
    if changed:
        shown = ", ".join(f"{c.name} from {c.type} to {have[c.name]}" for c in changed)
        return f"table {table.name} changed the type of {shown}"
    return ""


def fits(table: TableSchema, parts: Iterable[TableChanges | Sweep]) -> bool:
    """Whether rows that were kept have the columns and types that the models declare."""
    return all(part.rows.schema.equals(table.arrow) for part in parts if isinstance(part, TableChanges))


class Holds:
    """`tables`: held table -> why. A table is held by an unbearable schema, its models also while it is first copied.

    `outdated`: those of them whose rows in the log lack what the models declare: only reading them anew ends that.
    """

    def __init__(self, plan: ProjectPlan, tables: Mapping[str, str]) -> None:
        self._plan = plan
        self.tables: dict[str, str] = dict(tables)
        self.outdated: set[str] = set()
        self.copying: set[str] = set()
        self.models: dict[str, str] = {}

    def change(self, change: SchemaChange) -> bool:
        """Note the source's new columns. True when a table that was held may go on."""
        declared = self._plan.tables.get(change.table)
        if declared is None:
            return False
        reason = unbearable(declared, change.schema)
        if reason:
            remedy = f"give the column back, or change the models and run `topline resync {change.table}`"
            self.tables[change.table] = f"{reason}: its changes are kept, models that read it stand still; {remedy}"
            return False
        return change.table not in self.outdated and self.tables.pop(change.table, None) is not None

    def forget(self, target: str, log: Log) -> None:
        """A table (or a source: all of its) that is read anew is held no more, and what was kept of it is not needed."""
        for table in [name for name in self.tables if name == target or name.partition(".")[0] == target]:
            del self.tables[table]
            self.outdated.discard(table)
            log.release(table)
            log.declare({table: self._plan.tables[table]})

    def halt(self, models: Mapping[str, str]) -> None:
        """These models have stopped, with the reason (without the name that it may begin with), and so has what reads them."""
        for model, reason in models.items():
            self.models[model] = reason.removeprefix("model ").removeprefix(f"{model}: ")
            for name in downstream(self._plan, [model]):
                self.models.setdefault(name, f"it reads {model}, which is halted")

    def is_held(self, table: str) -> bool:
        return table in self.tables

    def held_models(self) -> frozenset[str]:
        """Models below a held table, a source that is being copied, or a halted model."""
        sources = {table for table in self._plan.tables if table.partition(".")[0] in self.copying}
        return frozenset(self.models) | downstream(self._plan, [*self.tables, *sources, *self.models])


def downstream(plan: ProjectPlan, roots: Iterable[str]) -> frozenset[str]:
    """Every model that reads one of `roots` (tables or models), directly or not."""
    reached: set[str] = set(roots)
    names: set[str] = set()
    for name, model in plan.models.items():  # topological order: one pass reaches all
        if reached.intersection(model.depends_on):
            reached.add(name)
            names.add(name)
    return frozenset(names)
