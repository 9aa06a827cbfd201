"""Focus widget."""
