"""When the state is saved for a fast restart: at the end, and while running as often as its cost allows."""

import logging
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from topline.errors import StateError
from topline.faults import point
from topline.live import statefile
from topline.live.dataflow import Dataflow
from topline.log import Log
from topline.models.plan import ProjectPlan

FILE = "checkpoint.bin"
_EPOCH = "checkpoint_epoch"
_RATE = 1e9  # bytes a second that writing one is taken to make, until it was measured


class Checkpoints:
    """`share`: the part of the running time that saving may take; 0 saves at the end only."""

    def __init__(self, state_dir: Path, log: Log, dataflow: Dataflow, share: float) -> None:
        self._path = state_dir / FILE
        self._log = log
        self._dataflow = dataflow
        self._share = share
        self._saved_epoch = int(log.get(_EPOCH) or -1)
        self._cost = self._expected()
        self.trouble = ""  # why the last one could not be written; '' once one was
        self._last = time.monotonic()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._settling: Future[None] | None = None
        self._settling_epoch = -1

    def follow(self, dataflow: Dataflow) -> None:
        """Save this state from now on."""
        self._dataflow = dataflow

    def after_turn(self) -> None:
        """The state is written between two turns; that it comes to the disk is waited for beside the turns that follow."""
        if self._settling is not None and self._settling.done():
            self._finish()
        if self._share and self._settling is None and time.monotonic() - self._last > max(5.0, self._cost / self._share):
            self._begin()

    def save(self) -> None:
        """Write the state as of the log's epoch. The file carries its epoch's name, so that a crash leaves a whole one.

        Not while a model is halted: from the log alone it may start again. A disk that takes no checkpoint stops nothing.
        """
        self._finish()
        self._begin()
        self._finish()

    def _begin(self) -> None:
        epoch, started = self._log.epoch, time.monotonic()
        if epoch != self._saved_epoch and not self._dataflow.halted:
            path = self._path_of(epoch)
            try:
                self._dataflow.begin_dump(path)
            except OSError as error:
                self._give_up(epoch, error)
            else:
                self._settling, self._settling_epoch = self._worker.submit(statefile.settle, path), epoch
        self._last = time.monotonic()
        self._cost = max(0.1, self._last - started)

    def _expected(self) -> float:
        """Seconds that the next one may take, as the last one is large."""
        try:
            return max(0.1, self._path_of(self._saved_epoch).stat().st_size / _RATE)
        except FileNotFoundError:
            return 0.1

    def _finish(self) -> None:
        """Wait for what was begun, and note it."""
        if self._settling is None:
            return
        settling, self._settling = self._settling, None
        try:
            settling.result()
        except OSError as error:
            self._give_up(self._settling_epoch, error)
        else:
            self.trouble = ""
            self._note(self._settling_epoch)

    def _give_up(self, epoch: int, error: OSError) -> None:
        path = self._path_of(epoch)
        for begun in path.parent.glob(f"{path.name}*"):
            begun.unlink(missing_ok=True)
        self._tell(
            f"cannot write the checkpoint {path}: {error.strerror or error}. Nothing is lost, but a restart takes longer: "
            "it reads the log instead; make room on that disk, and it is tried again"
        )

    def _path_of(self, epoch: int) -> Path:
        return self._path.with_suffix(f".{epoch}")

    def _tell(self, trouble: str) -> None:
        if not self.trouble:
            logging.getLogger(__name__).warning("%s", trouble)
        self.trouble = trouble

    def _note(self, epoch: int) -> None:
        point("checkpoint:before-note")
        self._log.set(_EPOCH, str(epoch))
        point("checkpoint:noted")
        for old in self._path.parent.glob("checkpoint.*"):
            if old.suffix != f".{epoch}":
                old.unlink(missing_ok=True)
        self._saved_epoch = epoch


def load_checkpoint(state_dir: Path, log: Log, plan: ProjectPlan) -> tuple[Dataflow, int] | None:
    """The saved state and its epoch; None where there is none that fits (damaged, of other models): the log is read."""
    epoch = log.get(_EPOCH)
    if epoch is None:
        return None
    try:
        return Dataflow.load(plan, (state_dir / FILE).with_suffix(f".{epoch}")), int(epoch)
    except (StateError, OSError, LookupError, ValueError):  # the latter: written by another version of the code
        return None
