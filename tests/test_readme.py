"""README.md and the page of settings name everything that a person can set or call."""

from pathlib import Path

import pytest
from typer.main import get_command

from contract.settings import PREFIX, Settings
from producer.cli import app
from producer.table import COLUMNS

ROOT = Path(__file__).parents[1]
GROUP = get_command(app)


@pytest.fixture(scope="module")
def readme():
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_in_the_readme(readme):
    names = GROUP.list_commands(GROUP.make_context("dubline", ["doctor"]))
    assert [name for name in names if f"dubline {name}" not in readme] == []


def test_every_setting_is_on_their_page():
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    names = {name: PREFIX + name.upper() for name in Settings.model_fields}
    assert [
        name for name, variable in names.items() if f"`{variable.removeprefix(PREFIX)}`" not in page
    ] == []


def test_every_column_of_the_csv_is_in_the_readme(readme):
    assert [name for name in COLUMNS if f"`{name}`" not in readme] == []
