"""What a path in the settings means: where to look, and which of the names there are meant."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from topline.sources.files.settings import SUFFIXES, FileTable
from topline.sources.files.unpack import SUFFIXES as PACKED

_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A folder (or the prefix of a bucket's keys), which of the relative names below it are meant, and how deep to look."""

    base: str
    names: re.Pattern[str]
    deep: bool

    @classmethod
    def of(cls, path: str, table: FileTable, *, folder: bool | None = None) -> "Pattern":
        """`folder`: whether a path without wildcards is known to be one; None: by its suffix."""
        suffixes = SUFFIXES[table.format]
        parts = PurePosixPath(path).parts
        wild = next((i for i, part in enumerate(parts) if _WILD.search(part)), None)
        if wild is not None:
            return cls(str(PurePosixPath(*parts[:wild])), _translate(parts[wild:]), len(parts) - wild > 1 or "**" in parts)
        whole = PurePosixPath(path)
        if whole.suffix in (*PACKED, *suffixes) and not folder:
            return cls(str(whole.parent), re.compile(re.escape(whole.name)), deep=False)
        endings, packed = ("|".join(map(re.escape, some)) for some in (suffixes, PACKED))
        return cls(str(whole), re.compile(rf"[^/]*(?:{endings})(?:{packed})?"), deep=False)

    def means(self, relative: str) -> bool:
        """Names that begin with a dot, and what lies in folders of such names, are never meant."""
        return not relative.startswith(".") and "/." not in relative and self.names.fullmatch(relative) is not None


def _translate(parts: tuple[str, ...]) -> re.Pattern[str]:
    """A glob's parts as an expression over relative paths: ** is any folders, * and ? never pass a slash."""
    pieces = [r"(?:[^/]+/)*" if part == "**" else _translate_part(part) + "/" for part in parts[:-1]]
    last = r"(?:[^/]+/)*[^/]*" if parts[-1] == "**" else _translate_part(parts[-1])
    return re.compile("".join(pieces) + last)


def _translate_part(part: str) -> str:
    def one(match: re.Match[str]) -> str:
        token = match[0]
        if token[0] == "[" and len(token) > 2:
            return "[" + token[1:-1].replace("\\", r"\\").replace("!", "^", token[1] == "!") + "]"
        return {"*": "[^/]*", "?": "[^/]"}.get(token, re.escape(token))

    return re.sub(r"\[[^\]]+\]|.", one, part)
