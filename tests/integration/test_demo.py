"""`topline demo`: stops by itself with equal results, and on Ctrl-C with 130 and nothing left running."""

import re
import signal
import subprocess
from pathlib import Path

from tests.polling import until
from tests.project import TOPLINE, TestProject
from topline.embedded import EmbeddedPostgres
from topline.log import LogReader


def test_with_a_duration_it_stops_by_itself_and_proves_its_result(tmp_path: Path) -> None:
    shown = TestProject(tmp_path).run("demo", "--duration", "12s", "--port", "0", timeout=150)
    assert "DIFFERS" not in shown
    assert shown.count("equal") >= 9
    assert "Top cities" in shown
    assert re.findall(r"^(\w+): .*\d{3} new", shown, re.MULTILINE) == ["shop", "branches", "partner"]
    assert rows(tmp_path / ".demo", "partner.entries") > 600
    assert server_of(tmp_path).pid() is None


def test_ctrl_c_stops_all_of_it(tmp_path: Path) -> None:
    command = [*TOPLINE, "demo", "--port", "0", "--dir", str(tmp_path / "demo")]
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True)
    until((tmp_path / "demo" / ".topline" / "engine.json").exists, timeout=60)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130, (tmp_path / "out").read_text()
    assert server_of(tmp_path, "demo").pid() is None
    said = (tmp_path / "out").read_text()
    assert "Traceback" not in said
    assert re.search(r"the API is at http://127\.0\.0\.1:\d+\n", said)
    assert said.rstrip().endswith(f"topline status --project {tmp_path / 'demo'}")


def test_a_folder_that_is_no_demo_is_never_touched(tmp_path: Path) -> None:
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "mine").write_text("precious")
    shown = TestProject(tmp_path).run("demo", "--duration", "1s", expect=2)
    assert "not an earlier demo" in shown
    assert (tmp_path / ".demo" / "mine").read_text() == "precious"


def rows(folder: Path, table: str) -> int:
    """How many the engine took."""
    with LogReader.open(folder / ".topline", "sales") as log:
        return sum(len(chunk) for chunk in log.snapshot(table))


def server_of(folder: Path, name: str = ".demo") -> EmbeddedPostgres:
    return EmbeddedPostgres(folder / name / ".topline")
