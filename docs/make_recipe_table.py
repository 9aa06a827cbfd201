"""Write the tables of the fields of recipes, from the recipes themselves, into docs/recipes.md.

Run: python docs/make_recipe_table.py           writes them
     python docs/make_recipe_table.py --check   only says whether they are up to date
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from tables import markdown, replaced, write

from napari_cellrestore.recipe import (
    Augmentation,
    DefocusSettings,
    DiscriminatorSettings,
    FeatureSettings,
    ImageSource,
    Recipe,
)

PAGE = Path(__file__).with_name("recipes.md")
MARKS = ("<!-- fields: written by docs/make_recipe_table.py -->", "<!-- end of fields -->")
#: Tables under the fields that hold them.
TABLES: dict[str, type[BaseModel]] = {
    "pairs": DefocusSettings,
    "augmentation": Augmentation,
    "discriminator": DiscriminatorSettings,
    "features": FeatureSettings,
    "images": ImageSource,
}


def table(model: type[BaseModel]) -> str:
    """Return a row for each field."""
    rows = [(f"`{name}`", default(name, field), described(field)) for name, field in model.model_fields.items()]
    return markdown([("field", "where left out", "is"), *rows])


def default(name: str, field: FieldInfo) -> str:
    """Return the value of a field that is left out, as YAML."""
    if field.is_required():
        return "must be given"
    value: Any = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return f"[its fields](#{name})"
    if value in (None, "", (), {}):
        return "none"
    value = list(value) if isinstance(value, tuple) else value
    return f"`{yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10)).strip()}`"


def described(field: FieldInfo) -> str:
    """Return what a field is, with the words that it takes where these are few."""
    if not field.description:
        raise SystemExit(f"a field has no description: {field!r}")
    words = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
    return (f"{', '.join(f'`{word}`' for word in words)}: " if words else "") + field.description


def main(check: bool) -> int:
    """Write the page, or return 1 where it is not up to date."""
    parts = [table(Recipe)]
    for name, model in TABLES.items():
        parts += [f"## {name}", table(model)]
    text = replaced(PAGE.read_text(encoding="utf-8"), MARKS, "\n\n".join(parts))
    return write({PAGE: text}, Path(__file__).name, check=check)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
