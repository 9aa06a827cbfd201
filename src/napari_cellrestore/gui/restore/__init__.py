"""Restore widget."""
