"""Two images of the same cell by two microscopes, aligned in the window."""
