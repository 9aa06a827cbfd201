"""Models widget."""
