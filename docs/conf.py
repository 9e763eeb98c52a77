"""How Sphinx builds the pages: `make docs`, into build/docs."""

from importlib.metadata import version as installed_version

project = "decision-minrnn"
release = version = installed_version(project)
html_title = f"{project} {release}"

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["examples"]
html_theme = "furo"
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072b2", "color-brand-content": "#0072b2"},
    "dark_css_variables": {"color-brand-primary": "#56b4e9", "color-brand-content": "#56b4e9"},
}
html_show_sourcelink = False
html_copy_source = False
html_show_copyright = False

myst_heading_anchors = 3

# docstrings write code as Markdown does, between single backticks
default_role = "code"
autodoc_member_order = "bysource"
# annotations of shapes read well in the source alone: docstrings say what things are
autodoc_typehints = "none"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
