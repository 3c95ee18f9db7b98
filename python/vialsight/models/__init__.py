"""Methods: a folder each, a model and how it learns."""
