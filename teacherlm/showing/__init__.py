"""Rows of a dataset as a person would want to read them."""
