"""The documentation site: `make docs` builds it into docs/_build/html, with warnings as errors."""

import re
import sys
from pathlib import Path

import fastxent

sys.path.insert(0, str(Path(__file__).parent))

project = "fastxent"
author = "fastxent developers"
copyright = author
version = release = fastxent.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # the site needs no network
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "themed",
]
exclude_patterns = ["_build", "pictures"]
templates_path = ["_templates"]
highlight_language = "python3"
nitpicky = True

myst_enable_extensions = ["amsmath", "attrs_inline", "colon_fence", "deflist", "dollarmath", "smartquotes"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "pictures",
    "gallery_dirs": "gallery",
    "image_scrapers": ("themed.scraper",),
    "reset_modules": ("themed.reset",),
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
    "abort_on_example_error": True,
    "within_subsection_order": "FileNameSortKey",
}

html_theme = "pydata_sphinx_theme"
html_title = "fastxent"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "fastxent"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "show_prev_next": True,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
    "back_to_top_button": False,
}
html_sidebars = {"index": [], "benchmarks": []}

_ROUTING = re.compile(r"set_\w+_request|get_metadata_routing")


def not_ours(app, what, name, obj, skip, options):
    """Leave out what scikit-learn's classes bring along: its own documentation has it."""
    home = getattr(obj, "__module__", None) or getattr(type(obj), "__module__", "")
    return skip or bool(_ROUTING.fullmatch(name)) or home.startswith("sklearn")


def setup(app):
    app.connect("autodoc-skip-member", not_ours)
