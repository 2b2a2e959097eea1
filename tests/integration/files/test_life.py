"""Given any history of files, written, appended to, cut, renamed, removed and brought back, when the folder is read, then the
table has what the files come to; and whatever mess there was, whole files put it right."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conformance.ledger import Ledger, Rows
from tests.conformance.origin import TABLE
from tests.integration.files.folder_model import HEADER, FolderModel
from tests.polling import until
from topline.sources.base import Context
from topline.sources.files import FilesSource, Settings, create

NAMES = ("a.csv", "b.csv", "c.csv")


def source_over(model: FolderModel, on_remove: str) -> FilesSource:
    table = {"path": "inbox", "on_remove": on_remove}
    raw = {"kind": "files", "settle": 0, "poll": 0.0001, "tables": {"things": table}}
    return create(Context("origin", {"things": TABLE}, model.root, model.root / "state"), Settings.model_validate(raw))


def read_until(source: FilesSource, ledger: Ledger, truth: Rows, max_rows: int) -> None:
    """Commit until the ledger holds `truth`; then nothing may change it any more."""

    def commit_one() -> bool:
        batch = source.read(max_rows, 0.01)
        if batch is not None:
            ledger.commit(batch)
        return batch is None and ledger.rows == truth

    until(commit_one, timeout=5, every=0, what=f"the table has {truth}")
    for _ in range(2):
        commit_one()
    assert ledger.rows == truth


class History:
    """Random acts over a folder, from a seed."""

    def __init__(self, model: FolderModel, seed: int) -> None:
        self._model, self._rng, self._count = model, random.Random(seed), 0

    def act(self) -> None:
        acts: list[Callable[[], None]] = [
            self.write,
            self.write,
            self.append,
            self.append,
            self.append,
            self.change,
            self.rename,
        ]
        self._rng.choice([*acts, self.remove, self.in_place])()

    def lines(self) -> str:
        """Some rows, at times with an unreadable line or another header among them, at times with the last one not ended."""
        lines = [f"k{self._rng.randrange(12)},{self._value()}\n" for _ in range(self._rng.randrange(4))]
        if self._rng.random() < 0.25:
            lines.insert(self._rng.randrange(len(lines) + 1), self._rng.choice(["unreadable\n", HEADER]))
        text = "".join(lines)
        return text.rstrip("\n") if self._rng.random() < 0.15 else text

    def write(self) -> None:
        self._model.write(self._rng.choice(NAMES), HEADER + self.lines())

    def in_place(self) -> None:
        self._model.write(self._rng.choice(NAMES), HEADER + self.lines(), in_place=True)

    def append(self) -> None:
        if name := self._one():
            self._model.append(name, self.lines())

    def change(self) -> None:
        if name := self._one():
            if self._rng.random() < 0.5:
                self._model.touch(name)
            else:
                self._model.truncate(name, self._rng.randrange(40))

    def rename(self) -> None:
        if name := self._one():
            self._model.rename(name, self._rng.choice(NAMES))

    def remove(self) -> None:
        if name := self._one():
            self._model.remove(name)

    def _one(self) -> str:
        names = self._model.names()
        return self._rng.choice(names) if names else ""

    def _value(self) -> str:
        self._count += 1
        return f"v{self._count}"


seeds = st.integers(0, 1 << 32)


@pytest.mark.parametrize("on_remove", ["keep", "retract"])
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_table_has_what_the_files_come_to(tmp_path_factory: pytest.TempPathFactory, on_remove: str, seed: int) -> None:
    """Read to its end after every few acts, in one process or in the next."""
    model = FolderModel(tmp_path_factory.mktemp("life"), retract=on_remove == "retract")
    history, ledger, chance = History(model, seed), Ledger(), random.Random(seed)
    source = source_over(model, on_remove)
    for _ in range(6):
        for _ in range(chance.randrange(1, 4)):
            history.act()
        if chance.random() < 0.5:
            source.close()
            ledger.restart()
            source = source_over(model, on_remove)
            source.open(ledger.resume)
        elif not ledger.seen:
            source.open(ledger.resume)
        model.note_read()
        read_until(source, ledger, model.rows, max_rows=chance.choice([1, 2, 1000]))
    source.close()


@settings(max_examples=20, deadline=None)
@given(seed=seeds, on_remove=st.sampled_from(["keep", "retract"]))
def test_whole_files_put_any_mess_right(tmp_path_factory: pytest.TempPathFactory, seed: int, on_remove: str) -> None:
    """Files change while they are read, batches are lost, processes die: then each file is written whole and clean."""
    model = FolderModel(tmp_path_factory.mktemp("mess"), retract=False)
    history, ledger, chance = History(model, seed), Ledger(), random.Random(seed)
    source = source_over(model, on_remove)
    source.open(ledger.resume)
    for _ in range(15):
        history.act()
        for _ in range(chance.randrange(4)):
            if (batch := source.read(chance.choice([1, 2, 5]), 0)) is not None:
                ledger.commit(batch)
        if chance.random() < 0.3:
            source.read(2, 0)  # lost
            ledger.restart()
            source = source if chance.random() < 0.5 else source_over(model, on_remove)
            source.open(ledger.resume)
    truth: Rows = {}
    for name in NAMES:
        model.write(name, f"{HEADER}{name},whole\nk-{name},clean\n")
        truth |= {name: "whole", f"k-{name}": "clean"}
    ledger.restart()
    source.close()
    source = source_over(model, on_remove)
    source.open(ledger.resume)
    read_until(source, ledger, truth, max_rows=chance.choice([1, 1000]))
    until(source.reached_end)
    source.close()
