"""Runs the models on Apache Spark for `topline run --engine spark`."""

from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

from topline.cli.opening import open_project
from topline.cli.output import counted, err, out, print_json, print_table
from topline.cluster.spark.job import Report, Wishes, run
from topline.cluster.spark.writing import Dates
from topline.errors import UsageError

_SHOWN = 20  # records that cannot be read, on the terminal


@dataclass(frozen=True, slots=True)
class Options:
    """As the command line has them."""

    select: tuple[str, ...]
    dates: str
    take_over: bool
    strict: bool
    until_idle: bool
    as_json: bool


def run_spark(folder: Path, overrides: list[str] | None, options: Options) -> int:
    """The exit code: 1 with `strict` and records that cannot be read, or values that are not known."""
    wishes = _wishes(options)
    report = run(open_project(folder, overrides), wishes, _quiet if options.as_json else _told)
    if options.as_json:
        print_json(asdict(report))
    else:
        _print(report)
    return 1 if options.strict and not report.is_clean else 0


def _wishes(options: Options) -> Wishes:
    if options.until_idle:
        raise UsageError("--until-idle: a run of Spark ends by itself; leave it out")
    if options.take_over and (options.select or options.dates):
        raise UsageError("--take-over writes every model whole: leave --select and --date out")
    return Wishes(options.select, _dates(options.dates) if options.dates else None, options.take_over)


def _dates(text: str) -> Dates:
    first, dots, last = text.partition("..")
    try:
        found = Dates(date.fromisoformat(first), date.fromisoformat(last if dots else first))
    except ValueError:
        raise UsageError(f"--date {text!r}: a day such as 2026-11-21 is expected, or two: 2026-11-01..2026-11-21") from None
    if found.last < found.first:
        raise UsageError(f"--date {text!r}: the first day comes after the last")
    return found


def _told(what: str) -> None:
    err.print(what, markup=False)


def _quiet(what: str) -> None:
    """Whoever wants JSON wants nothing else."""


def _print(report: Report) -> None:
    tables = [(one.table, f"{one.records:,}", f"{one.keys:,}", f"{one.unreadable:,}") for one in report.tables]
    print_table("", ("table", "records", "keys", "unreadable"), tables)
    out.print()
    print_table("", ("model", "rows", "changed"), [(one.model, f"{one.rows:,}", f"{one.changed:,}") for one in report.models])
    out.print()
    for poison in report.poison[:_SHOWN]:
        out.print(f"unreadable: {poison.topic}[{poison.partition}] at offset {poison.offset}: {poison.reason}", markup=False)
    if len(report.poison) > _SHOWN:
        out.print(f"... and {len(report.poison) - _SHOWN:,} more: --json has them, with their bytes")
    for unknown in report.unknown[:_SHOWN]:
        what = f"{', '.join(unknown.columns)} of {unknown.table} {dict(unknown.key)}"
        out.print(f"not known, and taken for NULL: {what}", markup=False)
    spent = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    out.print(f"epoch {report.epoch}, {counted(sum(one.changed for one in report.models), 'row')} changed; {spent}")
