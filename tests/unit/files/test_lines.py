"""A piece cut into lines gives back, whichever lines are chosen, their very bytes."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from topline.sources.files.lines import Lines

LINES = st.lists(st.binary(max_size=4).map(lambda line: line.replace(b"\n", b"")), min_size=1, max_size=12)


@given(lines=LINES, ended=st.booleans(), data=st.data())
def test_chosen_lines_are_joined_whatever_lies_between_them(lines: list[bytes], ended: bool, data: st.DataObject) -> None:
    whole = b"\n".join(lines) + (b"\n" if ended or not lines[-1] else b"")
    chosen = sorted(data.draw(st.sets(st.integers(0, len(lines) - 1), min_size=1)))

    assert Lines.of(whole).joined(np.array(chosen)) == b"".join(lines[place] + b"\n" for place in chosen)
