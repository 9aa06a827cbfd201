"""Filters widget."""
