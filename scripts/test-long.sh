#!/bin/sh
# The longer tests; whatever they come to, the table of faults that they measured stands in build/faults.md afterwards.
set -eu
mkdir -p build
TOPLINE_TEST_FAULTS="$PWD/build/faults.jsonl"
export TOPLINE_TEST_FAULTS
: > "$TOPLINE_TEST_FAULTS"
code=0
.venv/bin/python -m pytest -m "long and not cluster" -n 2 --dist loadfile "$@" || code=$?
.venv/bin/python -m tests.faults.report "$TOPLINE_TEST_FAULTS" > build/faults.md
cat build/faults.md
exit $code
