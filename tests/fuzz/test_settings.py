"""Whatever stands in topline.yml, in .env or in a model: the project loads, or an error of ours says why not."""

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from topline.config import load_project
from topline.errors import UsageError
from topline.live.start import load_plan
from topline.sources.registry import build

ROOT = Path(__file__).parents[2]
YAML = (b": ", b"- ", b"&a ", b"*a", b"{", b"[", b"|", b">", b"!!python/object:os.system", b"\t", b"\n  ", b"~", b"${env:HOME}")
SQL = (
    b"select ",
    b" from ",
    b"(",
    b")",
    b" where ",
    b"{{ ref('sales') }}",
    b"{% for x in y %}",
    b"}}",
    b" group by 1 ",
    b"--",
    b"/*",
)
FAST = settings(
    max_examples=4,
    deadline=None,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # a project takes a second to load: shrinking would take hours
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
LONG = settings(FAST, max_examples=300)
FILES = {
    "topline.yml": YAML,
    ".env": YAML,
    "models/live/sources.yml": YAML,
    "models/live/staging/staging.yml": YAML,
    "models/live/staging/branches_sales.sql": SQL,
    "models/live/sales.sql": SQL,
    "models/live/marts/top_salesmen.sql": SQL,
}
BOTH = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "sales"
    shutil.copytree(ROOT / "sales", folder)
    (folder / ".env").write_text("TOPLINE_API__PORT=0\nSECRET=x\n")
    return folder


@st.composite
def changed(draw: st.DrawFn, before: bytes, words: tuple[bytes, ...]) -> bytes:
    data = before
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from(words)) + data[at + draw(st.integers(0, 8)) :]
    return draw(mutated([data], most=2))


def loads_or_says_why_not(folder: Path) -> None:
    """As `topline check` does it, but for the databases."""
    try:
        loaded = load_project(folder)
        plan = load_plan(loaded)
        build(loaded, plan.tables, embedded=lambda _setting, name: f"postgresql://nowhere/{name}")
    except UsageError:
        return


def check(project: Path, name: str, data: st.DataObject) -> None:
    path = project / name
    before = path.read_bytes()
    try:
        path.write_bytes(data.draw(changed(before, FILES[name])))
        loads_or_says_why_not(project)
    finally:
        path.write_bytes(before)


@BOTH
@FAST
@given(data=st.data())
def test_a_project_loads_or_an_error_says_why_not(project: Path, name: str, data: st.DataObject) -> None:
    check(project, name, data)


@pytest.mark.long
@pytest.mark.timeout(1800)
@BOTH
@LONG
@given(data=st.data())
def test_a_project_loads_or_an_error_says_why_not_in_thousands(project: Path, name: str, data: st.DataObject) -> None:
    check(project, name, data)
