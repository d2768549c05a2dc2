"""SVG: make what matplotlib writes an element that a page can have inside, with a text alternative."""

from __future__ import annotations

import hashlib
import html
import re
from typing import Final

_HEAD: Final = re.compile(r"^.*?(?=<svg\b)", re.DOTALL)
_METADATA: Final = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_GLOBAL_STYLE: Final = re.compile(r"\s*<defs>\s*<style\b[^>]*>.*?</style>\s*</defs>", re.DOTALL)
_GROUP_ID: Final = re.compile(r'<g id="[^"]*"')
_ID: Final = re.compile(r'\bid="([^"]+)"')
_REFERENCE: Final = re.compile(r'(url\(#|href="#)([^)"]+)')
_STYLE: Final = "max-width:100%;height:auto;stroke-linejoin:round;stroke-linecap:butt"


def clean_svg(text: str, title: str, alt: str) -> str:
    """Return the SVG element of a file of matplotlib.

    Its style sheet, which would hold for the whole page, becomes a style of the element; ids of groups are left out,
    and others begin with a digest of the text, so that they are unique in a page.
    """
    text = _GROUP_ID.sub("<g", _GLOBAL_STYLE.sub("", _METADATA.sub("", _HEAD.sub("", text), count=1), count=1))
    prefix = f"p{hashlib.sha256(text.encode()).hexdigest()[:10]}-"
    text = _REFERENCE.sub(rf"\g<1>{prefix}\g<2>", _ID.sub(rf'id="{prefix}\g<1>"', text))
    label, name = html.escape(alt), html.escape(title)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" style="{_STYLE}" ', 1).replace(
        ">", f">\n <title>{name}</title>", 1
    )
