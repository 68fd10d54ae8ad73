"""The page as a rater meets it: from a disk, in Chromium; every test looks for errors and for anything that leaves the folder."""

import csv
import re
from importlib.resources import files

import pytest

from producer.ab.page import write_page
from producer.ab.votes import read_ballot
from tests.producer.ab.voting import a_study
from tests.producer.web.test_tokens import contrast
from tests.producer.web.visiting import eventually

TEMPLATE = (files("producer.ab") / "page.html").read_text()
TOKENS = {
    name: pair for name, *pair in re.findall(r"--([a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", TEMPLATE)
}
IN_STEP_SECONDS = 0.04
"""One frame."""


@pytest.fixture
def study():
    """Four pairs, two of either kind."""
    return a_study("abba")


@pytest.fixture
def folder(study, films, tmp_path):
    """What their raters get; `test_make.py` sees that `dubline ab make` writes no other."""
    (tmp_path / "raters" / "videos").mkdir(parents=True)
    for pair in study.pairs:
        for take, film in zip((pair.a, pair.b), films, strict=True):
            (tmp_path / "raters" / take.name).write_bytes(film)
    return write_page(tmp_path / "raters", study).parent


@pytest.fixture
def rater(folder, visit):
    """The page, opened from the disk."""
    return visit(folder.as_uri())


@pytest.fixture
def page(rater):
    return rater.go("index.html")


@pytest.fixture
def begun(page):
    page.get_by_role("button", name="Begin").click()
    return page


def where(page):
    return page.locator("#where").text_content()


def pressed(page):
    return page.locator("#votes [aria-pressed=true]").evaluate_all("all => all.map((each) => each.id)")


def vote_all(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def sent(page, tmp_path, button="Download votes"):
    """The file that the rater would send."""
    with page.expect_download() as download:
        page.get_by_role("button", name=button, exact=True).click()
    path = tmp_path / download.value.suggested_filename
    download.value.save_as(path)
    return path


def lines(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_keys_vote_and_the_file_counts(begun, study, tmp_path):
    vote_all(begun, "ArrowLeft", "ArrowRight", "ArrowDown", "0")
    assert begun.locator("#sum").text_content().startswith("You voted on all 4 pairs.")
    ballot = read_ballot([sent(begun, tmp_path)], study)
    assert [each.pair for each in ballot.votes] == [pair.id for pair in study.pairs]
    assert [each.vote for each in ballot.votes] == ["left", "right", "none", "none"]


def test_buttons_vote_too(begun, study, tmp_path):
    for name in ("Left", "Right", "No difference", "Left"):
        begun.locator("#votes").get_by_role("button", name=name).click()
    assert [each["vote"] for each in lines(sent(begun, tmp_path))] == ["left", "right", "none", "left"]


def test_left_and_right_are_where_the_key_says(begun, study):
    sources = begun.locator("video").evaluate_all("all => all.map((each) => each.getAttribute('src'))")
    assert sources == [take.name for take in study.pairs[0].takes]
    left, right = begun.locator("figcaption").all()
    assert (left.text_content(), right.text_content()) == ("Left", "Right")
    assert left.bounding_box()["x"] < right.bounding_box()["x"]


def test_the_page_tells_nobody_which_is_which(begun, study):
    vote_all(begun, "ArrowLeft")
    for text in (begun.content(), begun.evaluate("JSON.stringify(localStorage)"), begun.title()):
        assert [
            name
            for name in (study.a.batch, study.b.batch, study.b.name, study.pairs[0].a.key)
            if name in text
        ] == []


def test_both_play_in_step_with_one_sound(begun):
    eventually(lambda: begun.evaluate("showing.sound.currentTime") > 0.5)
    assert begun.evaluate("[showing.sound.muted, ...showing.videos.map((each) => each.muted)]") == [
        False,
        True,
        True,
    ]
    late = "Math.max(...showing.videos.map((each) => Math.abs(each.currentTime - showing.sound.currentTime)))"
    eventually(lambda: begun.evaluate(f"!showing.sound.paused && {late} < {IN_STEP_SECONDS}"))


def test_a_video_that_lags_catches_up_while_the_sound_goes_on(begun):
    eventually(lambda: begun.evaluate("showing.sound.currentTime") > 0.6)
    assert begun.evaluate(f"""new Promise((tell) => {{
      const [, late] = showing.videos;
      late.currentTime = 0;
      function look() {{
        if (!late.seeking && Math.abs(late.currentTime - showing.sound.currentTime) < {IN_STEP_SECONDS}) tell(true);
        else if (showing.sound.ended) tell(false);
        else requestAnimationFrame(look);
      }}
      look();
    }})""")


def test_space_pauses_goes_on_and_plays_once_more_at_the_end(begun):
    plays = "[showing.sound, ...showing.videos].map((each) => !each.paused)"
    eventually(lambda: all(begun.evaluate(plays)))
    begun.keyboard.press(" ")
    assert begun.evaluate(plays) == [False, False, False]
    assert begun.locator("#play").text_content().startswith("Play")
    begun.evaluate("for (const each of showing.media) each.currentTime = 3.8")
    begun.keyboard.press(" ")
    eventually(lambda: begun.evaluate("showing.sound.ended && !showing.playing"))
    begun.keyboard.press(" ")
    eventually(lambda: begun.evaluate("showing.playing && showing.sound.currentTime < 1"))


def test_space_after_a_click_on_a_vote_does_not_vote_again(begun):
    begun.locator("#left").click()
    begun.keyboard.press(" ")
    assert where(begun) == "Pair 2 of 4"


def test_a_key_that_is_held_votes_once(begun):
    begun.keyboard.down("ArrowLeft")
    begun.keyboard.down("ArrowLeft")  # as a keyboard repeats it
    assert where(begun) == "Pair 2 of 4"


def test_keys_of_the_browser_and_of_the_name_do_not_vote(page):
    page.locator("#rater").press("ArrowLeft")
    page.locator("#rater").fill("Anna 0")
    page.get_by_role("button", name="Begin").click()
    page.keyboard.press("Alt+ArrowRight")
    page.keyboard.press("Control+0")
    assert where(page) == "Pair 1 of 4"
    assert page.locator("#so-far").is_hidden()


def test_backspace_goes_back_and_the_vote_can_be_changed(begun, tmp_path):
    vote_all(begun, "ArrowLeft", "ArrowLeft", "Backspace")
    assert (where(begun), pressed(begun)) == ("Pair 2 of 4", ["left"])
    vote_all(begun, "ArrowRight", "0", "0", "Backspace")
    assert (where(begun), pressed(begun)) == ("Pair 4 of 4", ["none"])
    vote_all(begun, "0")
    assert [each["vote"] for each in lines(sent(begun, tmp_path))] == ["left", "right", "none", "none"]


def test_the_first_pair_has_none_before_it(begun):
    assert begun.locator("#back").is_disabled()
    begun.keyboard.press("Backspace")
    assert where(begun) == "Pair 1 of 4"


def test_a_reload_loses_nothing(page, rater, tmp_path):
    page.locator("#rater").fill("Änne, die Erste")
    page.keyboard.press("Enter")
    vote_all(page, "ArrowLeft", "ArrowRight")
    page.reload()
    assert page.locator("#intro").text_content() == "Welcome back: 2 of 4 pairs are done."
    assert page.locator("#rater").input_value() == "Änne, die Erste"
    page.get_by_role("button", name="Go on").click()
    assert where(page) == "Pair 3 of 4"
    vote_all(page, "0", "ArrowLeft")
    page.reload()
    path = sent(page, tmp_path)
    assert path.name == "votes-Änne-die-Erste.csv"
    assert [(each["vote"], each["rater"]) for each in lines(path)] == [
        (vote, "Änne, die Erste") for vote in ("left", "right", "none", "left")
    ]


def test_a_reload_loses_nothing_where_the_browser_forgot_its_storage(begun):
    vote_all(begun, "ArrowLeft", "ArrowRight")
    begun.evaluate("localStorage.clear()")
    begun.reload()
    assert begun.locator("#intro").text_content() == "Welcome back: 2 of 4 pairs are done."


def test_closing_the_page_loses_nothing(begun):
    vote_all(begun, "ArrowLeft", "ArrowRight")
    begun.evaluate("history.replaceState(null, '')")  # as of a page that is opened anew
    assert begun.evaluate("Object.keys(recall().votes).length") == 2


def test_of_two_copies_the_newer_counts(begun):
    begun.evaluate(
        "localStorage.setItem(STORE, JSON.stringify({ ...state, at: 3, saved: Date.now() + 1000 }))"
    )
    assert begun.evaluate("recall().at") == 3
    begun.evaluate("localStorage.setItem(STORE, JSON.stringify({ ...state, at: 3, saved: 1 }))")
    assert begun.evaluate("recall().at") == 0


def test_votes_so_far_can_be_sent(begun, study, tmp_path):
    vote_all(begun, "ArrowLeft")
    (only,) = lines(sent(begun, tmp_path, "Download votes so far"))
    assert (only["pair"], only["vote"]) == (study.pairs[0].id, "left")


def test_seconds_that_were_watched_are_told(begun, tmp_path):
    eventually(lambda: begun.evaluate("showing.seconds") > 0.6)
    vote_all(begun, "ArrowLeft", "ArrowLeft")
    first, second = lines(sent(begun, tmp_path, "Download votes so far"))
    assert 0.6 <= float(first["seconds_watched"]) < 60
    assert float(second["seconds_watched"]) < float(first["seconds_watched"])


def test_two_raters_without_a_name_are_told_apart(folder, visit, tmp_path):
    names = set()
    for number in range(2):
        page = visit(folder.as_uri()).go("index.html")
        page.get_by_role("button", name="Begin").click()
        vote_all(page, "ArrowLeft")
        (tmp_path / str(number)).mkdir()
        (only,) = lines(sent(page, tmp_path / str(number), "Download votes so far"))
        names.add(only["rater"])
    assert len(names) == 2
    assert all(re.fullmatch(r"anonymous-[0-9a-f]{6}", name) for name in names)


def test_another_rater_begins_anew_once_votes_are_safe(begun, tmp_path):
    vote_all(begun, "0", "0", "0", "0")
    asked = []
    begun.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    begun.get_by_role("button", name="Begin anew").click()
    assert "have not been downloaded" in asked[0]
    assert begun.locator("#end").is_visible()
    sent(begun, tmp_path)
    begun.get_by_role("button", name="Begin anew").click()
    assert begun.get_by_role("button", name="Begin").is_visible()
    assert begun.evaluate("Object.keys(state.votes).length") == 0


def test_a_pair_that_cannot_be_played_gets_no_vote(rater, study, folder):
    (folder / study.pairs[0].b.name).unlink()
    rater.forgive("ERR_FILE_NOT_FOUND")
    page = rater.go("index.html")
    page.get_by_role("button", name="Begin").click()
    page.locator("#skip").wait_for()
    assert "cannot play the pair" in page.locator("#notice").text_content()
    page.keyboard.press("ArrowLeft")
    assert where(page) == "Pair 1 of 4"
    page.locator("#skip").click()
    assert where(page) == "Pair 2 of 4"
    assert page.locator("#notice").is_hidden()
    vote_all(page, "0", "0", "0")
    assert page.locator("#sum").text_content().startswith("You voted on 3 of 4 pairs.")


@pytest.mark.parametrize("size", [(1280, 800), (390, 844), (844, 390), (320, 568)], ids=str)
def test_all_that_is_needed_is_seen_and_large_enough_for_a_finger(folder, visit, size):
    width, height = size
    page = visit(folder.as_uri(), viewport={"width": width, "height": height}).go("index.html")
    page.get_by_role("button", name="Begin").click()
    page.wait_for_function("showing.videos.every((each) => each.readyState > 0)")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for each in page.locator("#pair button:visible").all():
        box = each.bounding_box()
        assert min(box["width"], box["height"]) >= 44
    for each in page.locator("#votes button, video").all():
        box = each.bounding_box()
        assert box["y"] + box["height"] <= height


def test_everything_can_be_reached_by_tab_and_the_focus_is_seen(begun):
    reached = []
    for _ in range(6):
        begun.keyboard.press("Tab")
        reached.append(begun.evaluate("document.activeElement.id"))
        assert begun.evaluate("parseFloat(getComputedStyle(document.activeElement).outlineWidth)") >= 2
        if reached[-1] == "play":
            break
    assert reached == ["left", "none", "right", "play"]
    assert begun.evaluate("document.activeElement.textContent").startswith(("Play", "Pause"))


def test_space_on_a_button_presses_it(begun):
    begun.keyboard.press("Tab")
    begun.keyboard.press(" ")
    assert begun.locator("#live").text_content() == "left. Pair 2 of 4"


def test_a_change_of_pairs_is_heard(begun):
    begun.keyboard.press("ArrowLeft")
    assert begun.locator("#live").text_content() == "left. Pair 2 of 4"


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [
        ("ink", "ground"),
        ("ink", "panel"),
        ("quiet", "ground"),
        ("quiet", "panel"),
        ("on-accent", "accent"),
        ("accent", "panel"),
        ("bad", "well"),
        ("warn", "warn-ground"),
    ],
)
def test_text_can_be_read_in_both_themes(text, ground, theme):
    assert contrast(TOKENS[text][theme], TOKENS[ground][theme]) >= 4.5


def test_the_page_names_nothing_of_elsewhere_and_runs_no_text():
    assert not re.search(
        r"https?:|//[a-z]+\.|innerHTML|insertAdjacentHTML|document\.write|\beval\(|style=", TEMPLATE
    )
