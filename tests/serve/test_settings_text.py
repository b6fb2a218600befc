"""The table of settings as written in the documents."""

from __future__ import annotations

from pathlib import Path

from vivace.serve.settings import SECTIONS, ServeSettings
from vivace.serve.settings_text import as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_documents_have_the_table() -> None:
    table = as_markdown()
    assert PAGE.read_text("utf-8").endswith(table), (
        "docs/settings.md is behind: replace its tables by what vivace.serve.settings_text.as_markdown() returns"
    )


def test_every_setting_is_explained_and_in_a_section() -> None:
    fields = ServeSettings.model_fields
    assert next(iter(fields)) in SECTIONS
    assert set(SECTIONS) <= set(fields)
    for name, field in fields.items():
        assert field.description, name
        assert not field.description.startswith(("Of ", "What ", "Whether ", "How ")), name
