"""Which page is asked for next, and when there is none; a loop without end is noticed."""

from topline.errors import SourceHalted
from topline.sources.soap.answer import Answer
from topline.sources.soap.placeholders import Values
from topline.sources.soap.settings import Paging


class Pages:
    """One poll's pages. `values` fill the placeholders of the next call; `more` says whether there is one."""

    def __init__(self, paging: Paging | None, cursor: object) -> None:
        self._paging = paging
        self._number, self._offset, self._token = (paging.first if paging else 1), 0, ""
        self._cursor = cursor
        self._asked = 0
        self._prints: set[bytes] = set()
        self._tokens: set[str] = set()
        self.more = True

    @property
    def values(self) -> Values:
        return {
            "cursor": self._cursor,
            "page": self._number,
            "page_size": self._paging.size if self._paging else None,
            "offset": self._offset,
            "token": self._token or None,
        }

    def saw(self, answer: Answer) -> None:
        """Move on behind this answer. SourceHalted where the pages repeat, or do not end."""
        if self._paging is None:
            self.more = False
            return
        self._asked += 1
        self._number += 1
        self._offset += len(answer.records)
        self.more = self._says_more(answer, self._paging)
        if answer.records:
            self._never_twice(answer.print_)
        if self.more and self._asked >= self._paging.limit:
            raise SourceHalted(f"there are more than {self._paging.limit:,} pages (paging.limit): a loop, or too small a page")

    def _says_more(self, answer: Answer, paging: Paging) -> bool:
        if paging.next is not None:
            self._token = _token(answer.next)
            if self._token in self._tokens:
                raise SourceHalted(f"the token {self._token[:80]!r} came twice: the pages never end")
            self._tokens.add(self._token)
            return bool(self._token)
        if answer.more is not None:
            return _is_true(answer.more)
        short = paging.short_page_ends and paging.size is not None and len(answer.records) < paging.size
        return bool(answer.records) and not short

    def _never_twice(self, print_: bytes) -> None:
        if print_ in self._prints:
            raise SourceHalted(
                f"page {self._number - 1} holds the same rows as an earlier one: the service ignores its number, or gives the "
                "last page again; see the arguments, and `paging.more` or `paging.next`"
            )
        self._prints.add(print_)


def _token(found: object) -> str:
    if found is not None and not isinstance(found, str):
        raise SourceHalted(f"paging.next leads to {str(found)[:80]!r}, which is no text")
    return (found or "").strip()


def _is_true(flag: object) -> bool:
    """xsd:boolean; SourceHalted where the flag is neither, so that no page is missed."""
    text = str(flag).strip().lower()
    if text not in {"true", "1", "false", "0"}:
        raise SourceHalted(f"paging.more leads to {text[:80]!r}, which is neither true nor false")
    return text in {"true", "1"}
