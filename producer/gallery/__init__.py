"""A batch as a page: every result beside its source, over what was measured on it. START HERE: page.py."""
