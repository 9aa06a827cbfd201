"""``python -m napari_cellrestore`` is the command line."""

import sys

from napari_cellrestore.cli import main
from napari_cellrestore.jobs import end_with_job

end_with_job()
sys.exit(main())
