"""Evaluate widget."""
