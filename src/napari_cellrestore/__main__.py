"""``python -m napari_cellrestore`` is the command line."""

import sys

from napari_cellrestore.cli import main

sys.exit(main())
