"""How Sphinx builds the site; `make docs` runs it. Nothing here needs the network."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import wspool
import wspool.prometheus
import wspool.testing

project = "wspool"
author = "wspool contributors"
copyright = "wspool contributors"  # noqa: A001
version = release = wspool.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
# Included by performance.md.
exclude_patterns = ["performance-results.md", "performance-columns.md"]
nitpicky = True
# Single backticks in docstrings are names, as in Markdown.
default_role = "literal"
highlight_language = "text"

autodoc_member_order = "bysource"
# The page of a module has the order of its __all__: first what makes the others.
for module in (wspool.sync, wspool.aio):
    module.__all__.sort(key=lambda name: not name.endswith("connect"))
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False

# Types of Python itself, which no page here describes, and aliases that only annotations name.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!wspool).*"),
    (r"py:.*", r"wspool\.(native|_core)\..*"),
    (r"py:.*", r"wspool\.exceptions\.\w+Like"),
    (r"py:.*", r"wspool\.stream_base\.StreamOptions"),
]

html_theme = "furo"
html_title = f"wspool {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"top_of_page_buttons": []}

_REST = "(the rest of wspool)"


def add_the_rest(app: Sphinx, docname: str, source: list[str]) -> None:
    """Put what `wspool.__all__` has and no page names in the place that asks for it.

    So a new name is in the reference before anybody has found a better place.
    """
    if _REST not in source[0]:
        return
    pages = "\n".join(page.read_text("utf-8") for page in Path(app.srcdir, "api").glob("*.md"))
    named = set(re.findall(r"auto\w+:: wspool\.(\w+)", pages))
    modules = (wspool.sync, wspool.exceptions)
    elsewhere = [getattr(module, name) for module in modules for name in module.__all__]
    directives = []
    for name in wspool.__all__:
        thing = getattr(wspool, name)
        documented = name in named or any(thing is one for one in elsewhere)
        if documented or name.startswith("__") or isinstance(thing, ModuleType):
            continue
        kind = "autoclass" if isinstance(thing, type) else "autofunction"
        directives.append(f".. {kind}:: wspool.{name}\n")
        if isinstance(thing, type):
            directives[-1] += "   :members:\n   :undoc-members:\n"
    source[0] = source[0].replace(_REST, "\n".join(directives))


def mend_docstring(
    app: Sphinx, what: str, name: str, thing: object, options: object, lines: list[str]
) -> None:
    """Give the docstrings of modules what reStructuredText wants and a reader does not need."""
    if what in {"attribute", "property"} and lines and ":" in lines[0]:
        lines[0] = f": {lines[0]}"  # else napoleon takes what is before the colon for a type
    if what != "module":
        return
    mended: list[str] = []
    for line in lines:
        last = mended[-1] if mended else ""
        indent = len(line) - len(line.lstrip())
        if line.startswith("    ") and not last:
            if not any(before.startswith(".. code-block") for before in mended[-3:]):
                mended += [".. code-block:: python", ""]
        elif line.lstrip().startswith("* ") and indent != len(last) - len(last.lstrip()):
            mended.append("")
        mended.append(line)
    lines[:] = mended


#: Classes that the library makes; nobody calls them.
_MADE = {
    *("ClientConnection", "Connection", "Endpoint", "Options", "Pong"),
    *("LoopbackServer", "ServerConnection"),
}


def hide_constructor(
    app: Sphinx, what: str, name: str, thing: object, options: object, *signature: str | None
) -> tuple[str, str] | None:
    """Show no arguments of what is not to be called."""
    made = name.rpartition(".")[2] in _MADE
    if what == "exception" or made or (isinstance(thing, type) and issubclass(thing, Enum)):
        return "", ""
    return None


def setup(app: Sphinx) -> None:
    """Connect the event handlers; Sphinx calls it."""
    app.connect("source-read", add_the_rest)
    app.connect("autodoc-process-docstring", mend_docstring, priority=100)  # before napoleon
    app.connect("autodoc-process-signature", hide_constructor)
