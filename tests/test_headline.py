"""Docstrings under fields are read as pydantic reads them."""

from pydantic import BaseModel, ConfigDict

from teacherlm.headline import field_docstrings
from teacherlm.stage import Settings


class Parent(Settings):
    size: int = 1
    """How large,
    on two lines."""


class Told(Parent):
    size: int = 2
    plain: int = 0
    name: str = ""
    """What it is called."""


class ToldToPydantic(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)

    size: int = 1
    """How large,
    on two lines."""
    plain: int = 0
    name: str = ""
    """What it is called."""


def test_fields_have_the_descriptions_that_pydantic_would_give_them() -> None:
    class Inside(Parent):
        deep: bool = False
        """In a function."""

    theirs = {name: field.description for name, field in ToldToPydantic.model_fields.items()}
    assert Parent.model_fields["size"].description == theirs["size"] == "How large,\non two lines."
    assert {name: Told.model_fields[name].description for name in ("plain", "name")} == {"plain": None, "name": theirs["name"]}
    assert Inside.model_fields["deep"].description == "In a function."
    assert Told.model_json_schema()["properties"]["name"]["description"] == "What it is called."


def test_what_has_no_source_has_no_docstrings() -> None:
    assert field_docstrings(None) == {} == field_docstrings("/lib/module.so")
