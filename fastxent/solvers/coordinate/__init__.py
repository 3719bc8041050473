"""Coordinate descent over the columns."""
