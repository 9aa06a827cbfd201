"""Interactive restoration of microscope images, and how far it can be trusted.

Importing the package imports neither torch nor Qt; ask the modules for what you need::

    from napari_cellrestore.files import open_stack
    from napari_cellrestore.focus import focus_curve
"""

from importlib.metadata import version

__version__ = version("napari-cellrestore")
