"""Train widget."""
