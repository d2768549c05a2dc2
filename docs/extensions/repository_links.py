"""Let links between files of the repository, and its blocks of code, work in the site as they do on the code host.

A link to a page of the site leads to that page. A link to another file or folder of the repository leads to the
repository's address. Sphinx warns of a link that leads to nothing.
"""

import os
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]
from pygments.lexers.shell import BashSessionLexer  # type: ignore[import-untyped]
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

MARKDOWN = ".md"


class RepositoryLinks(SphinxTransform):
    """Resolve relative links from the folder of the file that has them."""

    default_priority = 5  # Before Sphinx collects files to download.

    def apply(self, **_options: Any) -> None:
        """Replace each link whose target is a file of the repository."""
        for link in [*self.document.findall(is_relative_link)]:
            path, _, anchor = link["reftarget"].partition("#")
            if link.get("refdomain") == "doc":
                anchor = link.get("reftargetid") or ""
                target = Path(self.env.srcdir, f"{path}{MARKDOWN}")
            else:
                target = Path(os.path.normpath(self.find_folder() / path))
            if path and target.exists():
                self.replace_link(link, target, anchor)

    def find_folder(self) -> Path:
        """Return the folder from which the page's links lead on: that of the file that the page includes."""
        included = self.config.repository_pages.get(self.env.docname)
        if included:
            return Path(self.find_repository(), included).parent
        return Path(self.env.doc2path(self.env.docname)).parent

    def find_repository(self) -> Path:
        """Return the folder of the repository."""
        return Path(self.env.srcdir).parent

    def replace_link(self, link: nodes.Element, target: Path, anchor: str) -> None:
        """Replace a link by a reference to a page of the site, or to the address of a file in the repository."""
        page = self.find_page(target)
        if page is None:
            kind = "tree" if target.is_dir() else "blob"
            path = target.relative_to(self.find_repository()).as_posix()
            address = f"{self.config.repository_url}/{kind}/main/{path}" + (f"#{anchor}" if anchor else "")
            replacement: nodes.Element = nodes.reference("", "", *link.children, refuri=address, internal=False)
        else:
            replacement = addnodes.pending_xref(
                "",
                *link.children,
                refdomain="doc",
                reftype="myst",
                reftarget=page,
                reftargetid=anchor or None,
                refdoc=self.env.docname,
                refexplicit=True,
            )
        replacement.source, replacement.line = link.source, link.line
        link.replace_self(replacement)

    def find_page(self, target: Path) -> str | None:
        """Return the page of the site that shows a file or the README of a folder; None: there is none."""
        pages = {self.find_repository() / path: page for page, path in self.config.repository_pages.items()}
        for path in (target, target / "README.md"):
            if path in pages:
                return str(pages[path])
        name = self.env.path2doc(target) if target.suffix == MARKDOWN else None
        return name if name in self.env.found_docs else None


def is_relative_link(node: nodes.Node) -> bool:
    """Return whether a node is a link of Markdown to another file."""
    is_link = isinstance(node, addnodes.pending_xref | addnodes.download_reference)
    return is_link and node.get("reftype") == "myst"


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the transform and its options to Sphinx."""
    app.add_config_value("repository_url", "", "env")
    app.add_config_value("repository_pages", {}, "env")
    app.add_transform(RepositoryLinks)
    app.add_lexer("shellsession", BashSessionLexer)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
