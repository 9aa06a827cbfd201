"""LEDs widget."""
