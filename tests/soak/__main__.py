"""Hours of checks that `make test` takes minutes of: `python -m tests.soak histories|resources`."""

import importlib
import sys

KINDS = ("histories", "resources")


def main() -> int:
    """Each kind is a module of this package with a `main(arguments) -> exit code`."""
    kind, arguments = (sys.argv[1], sys.argv[2:]) if sys.argv[1:] else ("", [])
    if kind not in KINDS:
        print(f"usage: python -m tests.soak {'|'.join(KINDS)} ...", file=sys.stderr)
        return 2
    code: int = importlib.import_module(f"tests.soak.{kind}").main(arguments)
    return code


if __name__ == "__main__":
    sys.exit(main())
