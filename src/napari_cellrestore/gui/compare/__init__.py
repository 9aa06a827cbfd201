"""Compare widget."""
