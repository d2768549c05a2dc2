"""Configuration of the documentation site: `sphinx-build -W --keep-going -b html docs OUT`."""

import atexit
import sys
from contextlib import ExitStack
from pathlib import Path

from sphinx.ext.autodoc import mock

import geographer

sys.path.insert(0, str(Path(__file__).parent / "extensions"))
# They are optional and slow to import, and nothing is documented of them. The option of autodoc imports them anyway,
# when it reads the source of a module.
mocked = ExitStack()
mocked.enter_context(mock(["lightning", "torch"]))
atexit.register(mocked.close)

project = "geographer"
author = "geographer contributors"
release = version = geographer.__version__
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_copybutton",
    "plain_text",
    "repository_links",
    "schema_pages",
]
exclude_patterns = ["decisions/README.md"]
root_doc = "index"

# Anchors of headings are those of the code host, so that a link with an anchor works there and here.
myst_heading_anchors = 4
myst_enable_extensions = ["attrs_inline"]
# Files outside `docs` by the page that includes each; links to other files lead to the repository.
repository_url = "https://github.com/geographer-datasets/geographer"
repository_pages = {
    "index": "README.md",
    "changelog": "CHANGELOG.md",
    "contributing": "CONTRIBUTING.md",
    "decisions/index": "docs/decisions/README.md",
    "releasing": "RELEASING.md",
    "examples/glaciers": "examples/glaciers/README.md",
    "examples/stadiums": "examples/stadiums/README.md",
    "examples/team": "examples/team/README.md",
}

# Docstrings put code into single backticks.
default_role = "code"
# Quotes and hyphens are what a reader types.
smartquotes = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True

# `$` and what a command prints are not copied.
copybutton_prompt_text = r"[\w/-]*\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True

html_theme = "furo"
html_title = f"geographer {release}"
html_static_path: list[str] = []
html_show_sphinx = False
html_copy_source = False
# Browsers let a page that was opened from a folder read no other file, as excerpts in the results would need.
html_show_search_summary = False
html_last_updated_fmt = None
