"""How Sphinx makes the site; `docs/site/make.py` lays its sources out."""

project = "lowbit"
author = "lowbit contributors"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "furo"
html_title = "lowbit"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#23609f", "color-brand-content": "#23609f"},
    "dark_css_variables": {"color-brand-primary": "#79b0ee", "color-brand-content": "#79b0ee"},
    "top_of_page_buttons": [],
}
html_show_copyright = False
html_copy_source = html_show_sourcelink = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
highlight_language = "none"
smartquotes = False  # -- is how options begin
suppress_warnings = ["myst.header"]  # pages of results begin with a table
