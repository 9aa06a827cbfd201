"""Telling widgets that the list of models is another one."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal


class ModelsNews(QObject):
    """Says when models were imported, renamed or deleted."""

    changed = Signal()


#: The one of the program: ``NEWS.changed.connect(self.refresh)``.
NEWS = ModelsNews()
