"""Input that is nearly right: seeds with bytes changed, taken out, put in, doubled, or a piece of another seed among them."""

from collections.abc import Sequence

from hypothesis import strategies as st

ODD = (
    b"\x00", b"\r", b"\n", b"\r\n", b'"', b'""', b"\\", b",", b";", b"\t", b" ", b"\xff", b"\xc3", b"\xef\xbb\xbf",
    b"[", b"]", b"{", b"}", b":", b"null", b"true", b"1e999", b"-0", b"NaN", b"\\u0000", b"\\ud800", b"'", b"<", b">", b"&",
    b"<![CDATA[", b"-->", b"<!--", b"&#0;", b"\x7f\xff\xff\xff", b"\x80\x00\x00\x00", b"0" * 40, b"x" * 300,
    b"\xed\xa0\x80", b"/>",
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], most: int = 6) -> bytes:
    """One of `seeds`, changed in up to `most` places."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.integers(0, len(data)))
        to = min(len(data), at + draw(st.integers(0, 12)))
        data = draw(st.sampled_from(_STEPS))(draw, data, at, to, seeds)
    return data


def _replaced(draw: st.DrawFn, data: bytes, at: int, to: int, _seeds: Sequence[bytes]) -> bytes:
    return data[:at] + draw(st.sampled_from(ODD)) + data[to:]


def _put_in(draw: st.DrawFn, data: bytes, at: int, _to: int, _seeds: Sequence[bytes]) -> bytes:
    return data[:at] + draw(st.binary(max_size=6)) + data[at:]


def _taken_out(_draw: st.DrawFn, data: bytes, at: int, to: int, _seeds: Sequence[bytes]) -> bytes:
    return data[:at] + data[to:]


def _cut(_draw: st.DrawFn, data: bytes, at: int, _to: int, _seeds: Sequence[bytes]) -> bytes:
    return data[:at]


def _doubled(_draw: st.DrawFn, data: bytes, at: int, to: int, _seeds: Sequence[bytes]) -> bytes:
    return data[:to] + data[at:]


def _spliced(draw: st.DrawFn, data: bytes, at: int, to: int, seeds: Sequence[bytes]) -> bytes:
    other = draw(st.sampled_from(seeds))
    begin = draw(st.integers(0, len(other)))
    return data[:at] + other[begin : begin + 40] + data[to:]


_STEPS = (_replaced, _replaced, _put_in, _taken_out, _cut, _doubled, _spliced)
