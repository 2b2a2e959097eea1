"""The loops of the live engine's state, compiled once a machine: few, and general. The operators over them stay Python.

The modules are loaded at the first look into them: commands that fold nothing (`status`, `init`) never load the compiler.
"""

import sys
from importlib.util import LazyLoader, find_spec, module_from_spec
from threading import Lock

from topline.errors import WorkError

_MODULES = ("rows", "groups", "text", "ordered")
_lock = Lock()


def _postpone(name: str) -> None:
    spec = find_spec(f"{__name__}.{name}")
    assert spec is not None
    assert spec.loader is not None
    spec.loader = LazyLoader(spec.loader)
    module = module_from_spec(spec)
    sys.modules[spec.name] = globals()[name] = module
    spec.loader.exec_module(module)


for _name in _MODULES:
    _postpone(_name)


def load() -> None:
    """Load all of them; the first time on a machine they are compiled, for some ten seconds of CPU."""
    with _lock:
        try:
            for name in _MODULES:
                assert globals()[name].__doc__ is not None  # any look will do
        except OSError as error:
            raise WorkError(
                f"cannot load the library that compiles the live engine's loops: {error}. "
                "If Topline is whole, there is not enough memory for it: give the process more"
            ) from error
