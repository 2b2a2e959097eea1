"""Files in a folder, and beside them, by plain dictionaries, the rows that they come to once each version was read."""

import os
from collections.abc import Callable
from pathlib import Path

HEADER = "sale_id,sold_at,country,region,city,salesman_id,salesman_name,amount,currency"
Row = tuple[str, ...]
Read = tuple[str | None, ...]


class Branches:
    """Every method is one version of one file, which has to be read before the file's next version is written."""

    def __init__(self, folder: Path, *, retract: bool) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._retract = retract
        self._rows: dict[str, tuple[str, Row]] = {}  # key -> (the file that wrote it last, its row)
        self._seen: set[str] = set()
        self._read: dict[str, tuple[list[Row], bool]] = {}  # file -> the rows of its last version, and whether it is clean
        self._times: dict[str, int] = {}
        self._ever: set[str] = set()
        self._grows: set[str] = set()  # files of which only what is appended is read
        self._gone: set[str] = set()
        self._clock = 1_700_000_000
        self.log: list[str] = []

    def truth(self) -> dict[str, Read]:
        """An empty field is NULL."""
        return {key: tuple(field or None for field in row) for key, (_, row) in self._rows.items()}

    def files(self) -> list[str]:
        return sorted(path.name for path in self._folder.glob("*.csv"))

    def write(self, name: str, rows: list[Row], broken: int = 0) -> None:
        """`broken`: lines that are no rows. With one, what is missing in the new version is not retracted."""
        lines = [HEADER, *(",".join(row) for row in rows), *(["broken,line"] * broken)]
        self._put(name, "\n".join(lines) + "\n")
        self._reading(name, rows, clean=not broken)

    def touch(self, name: str) -> None:
        self._clock += 1
        self.log.append(f"touch {name}")
        os.utime(self._folder / name, (self._clock, self._clock))
        self._times[name] = self._clock

    def remove(self, name: str) -> None:
        self.log.append(f"remove {name}")
        (self._folder / name).unlink()
        self._gone.add(name)
        self._retract_gone()

    def append(self, name: str, rows: list[Row]) -> None:
        """What was there before is not read again, unless it was torn, or read again without being clean."""
        text = (self._folder / name).read_text() + "".join(",".join(row) + "\n" for row in rows)
        self._put(name, text)
        before, clean = self._read[name]
        if name not in self._grows:
            records = [tuple(line.split(",")) for line in text.splitlines()[1:]]
            whole = [record for record in records if len(record) == len(rows[0])]
            self._reading(name, whole, clean=len(whole) == len(records))
            return
        for row in rows:
            self._rows[row[0]] = (name, row)
        self._read[name] = ([*before, *rows], clean)

    def rename(self, name: str, to: str) -> None:
        self.log.append(f"rename {name} {to}")
        (self._folder / name).rename(self._folder / to)
        self._clock += 1
        os.utime(self._folder / to, (self._clock, self._clock))
        self._times[to] = self._clock
        self._gone.discard(to)
        rows, clean = self._read[name]
        torn = not (self._folder / to).read_text().endswith("\n")
        self._reading(to, rows, clean=clean, torn=torn)
        self._gone.add(name)
        self._retract_gone()

    def _retract_gone(self) -> None:
        """Not while every file is gone: a folder that is not mounted looks like that."""
        if self._retract and self.files():
            gone, self._gone = self._gone, set()
            self._drop(lambda _, owner: owner in gone)
            self._seen -= gone

    def tear(self, name: str, rows: list[Row]) -> None:
        """The file as a writer that was interrupted leaves it: cut in the last row, which is a dead letter then."""
        text = "\n".join([HEADER, *(",".join(row) for row in rows)])
        self._put(name, text[: -len(",".join(rows[-1])) + 3])
        self._reading(name, rows[:-1], clean=False, torn=True)

    def read_again(self) -> None:
        """All files, in the order of their times."""
        self.log.append("read again")
        for name in sorted(self.files(), key=lambda name: (self._times[name], name)):
            rows, clean = self._read[name]
            self._reading(name, rows, clean=clean, torn=not (self._folder / name).read_text().endswith("\n"))

    def _reading(self, name: str, rows: list[Row], *, clean: bool, torn: bool = False) -> None:
        self._read[name] = (rows, clean)
        self._grows.discard(name)
        if not torn and (name not in self._ever or (rows and clean)):
            self._grows.add(name)
        self._ever.add(name)
        for row in rows:
            self._rows[row[0]] = (name, row)
        if name in self._seen and rows and clean:
            keys = {row[0] for row in rows}
            self._drop(lambda key, owner: owner == name and key not in keys)
        self._seen.add(name)

    def _put(self, name: str, text: str) -> None:
        self._clock += 1
        self.log.append(f"write {name}")
        self._times[name] = self._clock
        fresh = self._folder / f".{name}.new"
        fresh.write_text(text)
        os.utime(fresh, (self._clock, self._clock))
        fresh.rename(self._folder / name)
        self._gone.discard(name)
        self._retract_gone()

    def _drop(self, doomed: Callable[[str, str], bool]) -> None:
        for key in [key for key, (owner, _) in self._rows.items() if doomed(key, owner)]:
            del self._rows[key]
