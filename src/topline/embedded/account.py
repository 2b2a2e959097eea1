"""Whose process the server is: ours, or, when we are root, an unprivileged user's (PostgreSQL refuses to run as root)."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from topline.errors import StateError


@dataclass(frozen=True, slots=True)
class Account:
    """A user of the operating system. `other` is True when it is not the one that we run as."""

    uid: int
    gid: int
    other: bool

    def reaches(self, path: Path) -> bool:
        """True when this user may pass every folder above `path` (and read `path`, where it exists)."""
        if not self.other:
            return True
        resolved = path.resolve()
        readable = not resolved.exists() or self._may(resolved, 0o4)
        return readable and all(self._may(folder, 0o1) for folder in resolved.parents if folder.exists())

    def _may(self, path: Path, bit: int) -> bool:
        status = path.stat()
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid == self.gid else 0
        return bool(status.st_mode >> shift & bit)

    def give(self, path: Path) -> None:
        if self.other:
            os.chown(path, self.uid, self.gid)

    @property
    def popen(self) -> dict[str, Any]:
        """Arguments of subprocess.Popen that make the child this user's."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.other else {}


def server_account(data: Path) -> Account:
    """The account for the data folder `data`: its owner's, else `postgres`, else `nobody`, when we are root."""
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid(), other=False)
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, other=True)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, other=True)
    raise StateError(
        "PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody`: "
        "run Topline as an ordinary user, or `useradd --system postgres`"
    )
