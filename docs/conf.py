"""How Sphinx builds these pages: `make docs`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

project = 'seedwise'
extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
# The pages need no TensorFlow.
autodoc_mock_imports = ['tensorflow', 'keras', 'tensorflow_datasets']
autodoc_typehints = 'description'
autodoc_default_options = {'undoc-members': False}
myst_heading_anchors = 4
html_theme = 'furo'
html_title = 'seedwise'
exclude_patterns = ['_build', 'studies/*/table.md']
