"""Input that fuzzing found to be hard, each once by its name: the account of it must hold for ever."""

import pytest

from tests.fuzz.readers import READERS

FOUND = {
    "a field after a stray quote goes on over the line": ("csv", b'c","\n"'),
    "two returns at the end of the file": ("csv", b"a,\r\r"),
    "a mark before a document that is no row": ("push json", b"\xef\xbb\xbfnull"),
    "half a surrogate pair": ("ndjson", b'{"id": "\\ud800"}\n'),
    "a key that is a number": ("json", b'[{"id": 5}, {"id": -0}, {"id": 1e999}]'),
    "an object that closes an array": ("json", b'[{"id": "a"]},{"id": "b"}]'),
    "nothing but separators": ("json", b",,[,],\n"),
    "depth without an end": ("push ndjson", b'{"id": ' + b"[" * 50_000),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_is_accounted_for(name: str) -> None:
    reader, data = FOUND[name]
    READERS[reader].check(data)
