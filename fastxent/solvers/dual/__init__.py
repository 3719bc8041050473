"""Dual ascent over the rows."""
