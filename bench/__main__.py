"""Every benchmark, small, and one table of what they print: `python -m bench [NAME ...]`. Sizes: below."""

import resource
import subprocess
import sys
import time

SMALL: dict[str, tuple[str, ...]] = {
    "files": ("100000",),
    "many_files": ("2000",),
    "capture": ("100000",),
    "dataflow": ("0.2",),
    "shipped": ("100000",),
    "log": ("--rows", "500000"),
    "push": ("50000",),
    "publish": ("--rows", "100000", "--repeat", "2"),
    "freshness": (),
    "api": (),
    "end_to_end": ("100000",),
    "tpch": ("0.01",),
}


def main(names: list[str]) -> int:
    """0 where all ran. A line that a benchmark prints stands under its name, its wall and CPU-seconds behind the name."""
    unknown = sorted(set(names) - set(SMALL))
    if unknown:
        print(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(SMALL)}", file=sys.stderr)
        return 2
    return max(run(name) for name in names or SMALL)


def run(name: str) -> int:
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"bench.{name}", *SMALL[name]],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"== {name} ({' '.join(SMALL[name]) or 'as it is'}): {time.monotonic() - start:.0f} s, {cpu:.0f} CPU-s")
    print("\n".join(f"   {line}" for line in done.stdout.splitlines()), flush=True)
    if done.returncode:
        print(f"   failed with {done.returncode}: {done.stderr[-2000:]}", file=sys.stderr)
    return min(done.returncode, 1) if done.returncode >= 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
