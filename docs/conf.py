"""Sphinx: pages in MyST Markdown, the API reference out of the docstrings, warnings are errors (make docs)."""

from __future__ import annotations

from importlib.metadata import version as installed_version

project = "sb3_carla"
author = "the sb3_carla contributors"
copyright = "2026, the sb3_carla contributors"
release = version = installed_version("sb3-carla")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode"]
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = ["myst.xref_missing"]  # links to files of the repository, which are no pages

autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}

html_theme = "furo"
html_title = "sb3_carla"
exclude_patterns = ["_build"]
