"""Descriptions in a project's YAML: white space folded, and dbt's doc blocks, which several of them share, put in."""

import re
from collections.abc import Mapping

from topline.errors import ModelError

_BLOCK = re.compile(r"\{%-?\s*docs\s+(\w+)\s*-?%\}(.*?)\{%-?\s*enddocs\s*-?%\}", re.DOTALL)
_CALL = re.compile(r"\{\{-?\s*doc\(\s*(?:['\"]\w+['\"]\s*,\s*)?['\"](\w+)['\"]\s*\)\s*-?\}\}")


def doc_blocks(text: str) -> dict[str, str]:
    """The `{% docs name %}..{% enddocs %}` blocks of a Markdown file, by name."""
    return dict(_BLOCK.findall(text))


def prose(text: str, blocks: Mapping[str, str]) -> str:
    """A description as people read it; `{{ doc('name') }}` is the block of that name. ModelError where there is none."""

    def block(call: re.Match[str]) -> str:
        if call[1] not in blocks:
            known = ", ".join(sorted(blocks)) or "none"
            raise ModelError(f"doc('{call[1]}'): no such block; the .md files of models/live have {known}")
        return blocks[call[1]]

    return re.sub(r"\s+", " ", _CALL.sub(block, text)).strip()
