"""Sphinx configuration: pages in MyST Markdown, API pages from the docstrings, no network."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # the checkout, so that its own docstrings are documented

import otel_kcevents
from otel_kcevents.model.event import Outcome
from otel_kcevents.serve.respond import Response

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "otel-kcevents"
author = "The otel-kcevents authors"
version = release = otel_kcevents.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme = "furo"
html_title = f"{project} {release}"

myst_heading_anchors = 3
default_role = "py:obj"  # a name in backticks links to its page if it has one
autodoc_inherit_docstrings = False  # those of the standard library describe what a module does not change
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # an attribute of a class is a line of its description, not an entry of the index

suppress_warnings = ["ref.python"]  # two modules may have a class with the same name, such as `Target`
nitpicky = True
# No page of another project can be linked without the network, and backticks also hold arguments and values.
nitpick_ignore_regex = [("py:obj", r".*"), ("py:.*", r"(?!otel_kcevents\.).*"), ("py:.*", r".*\._.*")]

# What the page of public names describes.
_PUBLIC = [*(getattr(otel_kcevents, name) for name in otel_kcevents.__all__), Outcome, Response]


def _skip(app: Sphinx, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Skip what is described elsewhere: public names have a page, and the docstring of a named tuple has its fields."""
    if what == "module" and any(obj is public for public in _PUBLIC):
        return True
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def _keep_colon(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Move an attribute's description off its first line, where Napoleon takes what precedes a colon for the type."""
    if what in ("attribute", "data", "property"):
        lines[:0] = ["..", ""]  # an empty comment


def setup(app: Sphinx) -> None:
    """Connect the hooks."""
    app.connect("autodoc-process-docstring", _keep_colon, priority=400)  # before Napoleon's
    app.connect("autodoc-skip-member", _skip)
