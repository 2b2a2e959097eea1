"""The readers under atheris, which looks for input that reaches new code: in an environment of its own, by hand.

    python3.11 -m venv fuzz && fuzz/bin/pip install atheris -e .
    fuzz/bin/python -m tests.fuzz.guided csv -max_total_time=600

What it finds becomes a named test in test_found.py.
"""

import sys

from tests.fuzz.readers import READERS


def main() -> None:
    """The rest of the command line is libFuzzer's."""
    import atheris  # type: ignore[import-untyped]

    if len(sys.argv) < 2 or sys.argv[1] not in READERS:
        sys.exit(f"usage: python -m tests.fuzz.guided {{{', '.join(READERS)}}} [libFuzzer's options]")
    target = READERS[sys.argv.pop(1)]
    atheris.instrument_all()
    atheris.Setup(sys.argv, target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
