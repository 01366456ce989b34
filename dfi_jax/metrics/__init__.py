"""Measures of an edit: what it reached, and what else it changed."""
