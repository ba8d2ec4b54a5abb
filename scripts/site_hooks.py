"""What the site changes in a page: references in docstrings, written as Sphinx roles, become links."""

from __future__ import annotations

import re
from typing import Any

ROLE = re.compile(r":(?:mod|func|class|meth|attr|data):<code>([~.\w]+)</code>")


def on_page_content(html: str, **_: Any) -> str:
    """``:func:`kineme.load``` -> a link to it; a name that is not whole stays as code."""
    return ROLE.sub(_link, html)


def _link(found: re.Match[str]) -> str:
    name = found[1].removeprefix("~").removeprefix(".")
    shown = f"<code>{name.rpartition('.')[2] if found[1].startswith('~') else name}</code>"
    return f'<autoref optional identifier="{name}">{shown}</autoref>' if name.startswith("kineme.") else shown
