"""Given packed files, whole, in parts or broken, when they are unpacked, all that is sound comes out, in bounded memory."""

import bz2
import gzip
import io
import lzma
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from topline.errors import TransientError
from topline.sources.files.content import Content
from topline.sources.files.unpack import SUFFIXES, BrokenContent, Unpacker, suffix_of


def zst(data: bytes) -> bytes:
    return bytes(pa.compress(data, codec="zstd", asbytes=True))


PACK: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zst, ".bz2": bz2.compress, ".xz": lzma.compress}
every = pytest.mark.parametrize("suffix", SUFFIXES)


def unpacked(suffix: str, data: bytes, size: int = 1000) -> tuple[bytes, str]:
    """What comes out, and the fault after it."""
    unpacker, out = Unpacker(suffix, io.BytesIO(data).read), b""
    try:
        while piece := unpacker.read(size):
            assert len(piece) <= size
            out += piece
    except BrokenContent as error:
        return out, str(error) or "no words"
    return out, ""


@settings(max_examples=60, deadline=None)
@given(
    suffix=st.sampled_from(SUFFIXES), members=st.lists(st.binary(max_size=3000), max_size=4), size=st.sampled_from([1, 7, 5000])
)
def test_members_one_after_the_other_are_one_file(suffix: str, members: list[bytes], size: int) -> None:
    packed = b"".join(map(PACK[suffix], members))
    assert unpacked(suffix, packed, size) == (b"".join(members), "")
    assert suffix_of(packed) == (suffix if members else "")


@every
def test_of_a_file_that_is_cut_off_what_was_whole_comes_out(suffix: str) -> None:
    lines = b"".join(b"%d,%d\n" % (n, n * 7919) for n in range(60_000))
    first = PACK[suffix](lines)
    packed = first + PACK[suffix](b"second")
    out, fault = unpacked(suffix, first[: len(first) // 2], 1 << 20)
    assert fault
    assert lines.startswith(out)
    assert len(out) > len(lines) // 5 or suffix == ".bz2"  # a block of bz2 holds 900 kB
    assert unpacked(suffix, packed[:-2], 1 << 20)[0].startswith(lines)
    assert unpacked(suffix, packed[:-2])[1]


@every
def test_bytes_that_are_no_member_are_a_fault_after_what_was_sound(suffix: str) -> None:
    out, fault = unpacked(suffix, PACK[suffix](b"sound") + b"what is this, then?")
    assert (out, bool(fault)) == (b"sound", True)
    assert unpacked(suffix, b"never packed at all")[1]
    assert unpacked(suffix, b"") == (b"", "")


@every
def test_a_bomb_is_read_in_bounded_memory(suffix: str) -> None:
    """100 MB of zeros in a file of some kilobytes."""
    zeros = bytes(1 << 20)
    packed = PACK[suffix](zeros * 25) * 4
    unpacker, count = Unpacker(suffix, io.BytesIO(packed).read), 0
    before, tracked = pa.total_allocated_bytes(), 0
    tracemalloc.start()
    while piece := unpacker.read(1 << 20):
        count += len(piece)
        tracked = max(tracked, pa.total_allocated_bytes() - before)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100 << 20
    assert max(peak, tracked) < 24 << 20


def test_what_reading_the_file_raises_is_not_taken_for_a_fault_of_its_packing() -> None:
    def fails(size: int) -> bytes:
        raise TransientError("the network is down")

    for suffix in SUFFIXES:
        with pytest.raises(TransientError, match="the network is down"):
            Unpacker(suffix, fails).read(10)


@pytest.mark.parametrize("name", ["a.csv", *(f"a.csv{suffix}" for suffix in SUFFIXES)])
def test_any_file_can_be_read_at_any_place(tmp_path: Path, name: str) -> None:
    data = b"".join(b"%d\n" % n for n in range(100_000))
    path = tmp_path / name
    path.write_bytes(PACK.get(path.suffix, bytes)(data))
    content = Content(path)
    file = content.seekable(tmp_path / "state", 1 << 30)
    file.seek(-6, 2)
    assert file.read() == b"99999\n"
    file.seek(0)
    assert file.read() == data
    whole = Content(path)
    assert content.digest() == whole.digest()
    content.close()
    whole.close()
    assert file.closed
    assert list((tmp_path / "state").glob("*")) == []


def test_a_broken_file_cannot_be_read_at_any_place(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.zst"
    path.write_bytes(zst(b"x" * 100)[:-4])
    content = Content(path)
    with pytest.raises(BrokenContent):
        content.seekable(tmp_path, 1 << 30)
    content.close()
