"""The machine, the versions and the code that figures are of."""

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("duckdb", "pyarrow", "numpy", "numba", "psycopg")
ROOT = Path(__file__).parents[1]


def machine() -> dict[str, str]:
    """What the page tells of it, in words."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        "load": f"{os.getloadavg()[1]:.1f}",
    }


def _processor() -> str:
    found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.processor() or "unknown"


def code() -> str:
    """Git's names of the trees of src and sales: the same where the same was measured; '' without git or with changes."""
    try:
        changed = _git("status", "--porcelain", "--", "src", "sales")
        return "" if changed else "-".join(_git("rev-parse", f"HEAD:{name}")[:8] for name in ("src", "sales"))
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
