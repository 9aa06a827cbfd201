"""The face in napari: widgets, reader, writer."""
