"""Models: a network, its weights and its card in one folder; how they are listed, renamed, deleted and exchanged.

Modules: ``folder`` (load, save, list), ``names``, ``manage`` (rename, delete, export, import), ``cycle`` (a model and its way
back as one), and what models are exchanged as: ``bundle`` (one file), ``bioimage_io`` (packages, which
``bioimage_description`` describes), ``foreign`` (weights of other programs), all read by ``archive``.
"""

from napari_cellrestore.model.cycle import there_and_back, way_back
from napari_cellrestore.model.folder import (
    Entry,
    Model,
    list_models,
    load_model,
    model_entries,
    model_folders,
    models_folder,
    save_model,
)
from napari_cellrestore.model.manage import delete_model, export_model, import_model, rename_model
from napari_cellrestore.model.names import NameTakenError, check_name

__all__ = [
    "Entry",
    "Model",
    "NameTakenError",
    "check_name",
    "delete_model",
    "export_model",
    "import_model",
    "list_models",
    "load_model",
    "model_entries",
    "model_folders",
    "models_folder",
    "rename_model",
    "save_model",
    "there_and_back",
    "way_back",
]
