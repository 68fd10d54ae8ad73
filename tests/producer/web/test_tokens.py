"""The page's files by themselves: colours that can be read, nothing of elsewhere, and none that passes 400 lines."""

import re
from itertools import product
from pathlib import Path

import pytest

import producer

WEB = Path(producer.__file__).parent / "web"
FILES = sorted(each for each in WEB.iterdir() if each.suffix in (".html", ".css", ".js", ".svg"))
TOKEN = re.compile(r"--([a-z-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\)")
TOKENS = {name: pair for name, *pair in TOKEN.findall((WEB / "page.css").read_text())}
GROUNDS = ("ground", "panel", "well")
TEXTS = [
    *product(("ink", "quiet", "accent", "good", "bad"), GROUNDS),
    ("on-accent", "accent"),
    ("bad", "bad-ground"),
    ("warn", "warn-ground"),
    ("ink", "warn-ground"),
]
SHAPES = [
    *product(("edge", "aperture", "gone"), ("panel", "well")),
    ("accent", "panel"),
    ("good", "panel"),
    ("bad", "panel"),
]


def luminance(colour):
    """WCAG 2.2: of sRGB, linear, weighted as the eye does."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_wcag_does():
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_text_can_be_read_in_both_themes(text, ground, theme):
    at = ("light", "dark").index(theme)
    assert contrast(TOKENS[text][at], TOKENS[ground][at]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("shape", "ground"), SHAPES)
def test_shapes_can_be_told_from_their_ground(shape, ground, theme):
    at = ("light", "dark").index(theme)
    assert contrast(TOKENS[shape][at], TOKENS[ground][at]) >= 3


def test_colours_are_named_once():
    rules = (WEB / "page.css").read_text().partition("\n}\n")[2]
    assert set(re.findall(r"#[0-9a-fA-F]{3,8}\b", rules)) <= {
        "#000",
        "#000b",
        "#fff",
        "#0008",
    }  # behind pictures


@pytest.mark.parametrize("file", FILES, ids=lambda each: each.name)
def test_a_file_of_the_page_names_nothing_of_elsewhere_and_is_short(file):
    text = file.read_text()
    assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {
        "http://www.w3.org/2000/svg"
    }  # a name, never fetched
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|<script>|style=", text
    )
    assert len(text.splitlines()) <= 400


def test_every_file_is_told_of_where_one_begins_to_read():
    story = (WEB / "__init__.py").read_text()
    assert [each.name for each in FILES if each.name not in story] == []
