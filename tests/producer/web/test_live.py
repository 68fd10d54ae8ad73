"""The whole road through the page: real files are dropped, a real worker renders them, the result is played."""

import json

import pytest
from playwright.sync_api import expect

from tests.producer.web.conftest import DEMO
from tests.producer.web.visiting import drop, eventually

IN_STEP_SECONDS = 0.05
IN_STEP_SHARE = 0.75
"""Of the looks; a machine that is busy with other things halts one player before the other, which then catches up."""
PLAYERS = "[...document.querySelectorAll('.stage video')].map((each) => ({at: each.currentTime, ready: each.readyState, paused: each.paused, muted: each.muted}))"


@pytest.fixture(scope="module")
def done(browser, stack, portrait, voice):
    """The address of a job that was dropped on the page, generated, and seen through to its end."""
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    page = context.new_page()
    page.goto(stack.api_url)
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible(timeout=60_000)
    drop(page, portrait, voice)
    expect(page.locator(".estimate")).to_contain_text("of one worker", timeout=60_000)
    page.get_by_role("button", name="Generate").click()
    page.wait_for_url("**/#/job/*")
    seen = set()

    def ended():
        seen.add(page.locator(".heading .state").text_content())
        return "Done" in seen

    eventually(ended, 120)
    expect(page.locator(".player")).to_be_visible(timeout=60_000)
    address = page.url.removeprefix(stack.api_url + "/")
    context.close()
    assert seen & {"Preparing", "Generating"}, f"no stage was shown to move: {seen}"
    return address


def players(page):
    return page.evaluate(PLAYERS)


def ready(page):
    eventually(lambda: len(players(page)) == 2 and all(each["ready"] >= 3 for each in players(page)))


def test_what_was_dropped_is_played_beside_its_source_in_step(live, done):
    page = live.go(done)
    ready(page)
    page.get_by_role("button", name="Play", exact=True).click()
    eventually(lambda: players(page)[1]["at"] > 0.4, why="the result does not play")
    apart = []
    while not players(page)[1]["paused"]:
        source, result = players(page)
        apart.append(abs(source["at"] - result["at"]))
    assert len(apart) > 3
    assert sum(each < IN_STEP_SECONDS for each in apart) >= IN_STEP_SHARE * len(apart), apart
    assert players(page)[0]["muted"] and not players(page)[1]["muted"]


def test_a_paused_pair_shows_the_same_moment_and_steps_by_frames(live, done):
    page = live.go(done)
    ready(page)
    page.get_by_role("button", name="One frame on").click()
    page.get_by_role("button", name="One frame on").click()
    expect(page.locator(".clock")).to_contain_text("frame 3 of")
    eventually(lambda: all(each["at"] == pytest.approx(2.5 / 25, abs=0.021) for each in players(page)))
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".clock")).to_contain_text("frame 28 of")
    page.keyboard.press("Home")
    expect(page.locator(".clock")).to_contain_text("frame 1 of")
    page.get_by_label("Source sounds").check()
    page.get_by_label("Result sounds").uncheck()
    assert [each["muted"] for each in players(page)] == [False, True]


def test_the_plot_has_both_curves_and_leads_the_players(live, done):
    page = live.go(done)
    ready(page)
    assert page.locator(".plot path.aperture").count() >= 1
    assert page.locator(".plot path.loudness").count() >= 1
    box = page.locator(".plot").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    half = page.evaluate("document.querySelector('.plot input').max")
    eventually(lambda: all(each["at"] == pytest.approx(float(half) / 2, abs=0.1) for each in players(page)))
    left = page.evaluate("document.querySelector('.playhead').offsetLeft")
    assert left == pytest.approx(box["width"] / 2, rel=0.1)


def test_the_manifest_is_told_in_words_and_comes_as_a_file(live, done, tmp_path):
    page = live.go(done)
    told = page.locator(".headline")
    expect(told).to_contain_text("A smoke alarm, not LSE")
    expect(told).to_contain_text("1280 × 720")
    expect(told).to_contain_text("USD 0.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download manifest").click()
    assert download.value.suggested_filename == "portrait-voice-short.json"
    manifest = json.loads(download.value.path().read_text())
    assert (manifest["status"], manifest["row"]) == ("succeeded", "portrait-voice-short")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download video").click()
    assert download.value.suggested_filename == "portrait-voice-short.mp4"
    assert download.value.path().read_bytes()[4:8] == b"ftyp"


def test_a_link_to_a_job_survives_a_reload_and_the_back_button(live, done):
    page = live.go(done)
    expect(page.locator(".player")).to_be_visible()
    page.reload()
    expect(page.locator(".player")).to_be_visible()
    page.get_by_role("link", name="Dubline").click()
    expect(page.get_by_role("link", name="portrait-voice-short").first).to_be_visible()
    page.go_back()
    expect(page.locator(".player")).to_be_visible()


def test_by_the_keyboard_alone_a_pair_is_chosen_sent_cancelled_and_retried(live, portrait, stack):
    page = live.go()
    page.on("filechooser", lambda _: None)  # from now on, and not from a moment before or after the key
    expect(page.get_by_role("heading", name="New job")).to_be_visible()

    def tab_to(what):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({what!r})"):
                return
        raise AssertionError(f"{what} is not reached by Tab")

    for part, file in (("video", portrait), ("audio", DEMO / "voice-long.m4a")):
        tab_to(f"#file-{part}")
        with page.expect_file_chooser() as chooser:
            page.keyboard.press("Enter")
        chooser.value.set_files(file)
        expect(page.locator(f".well.{part}")).to_contain_text(file.name)
    tab_to("#option-sync_mode")
    page.keyboard.type("loop")
    tab_to("button.primary")
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/job/*")
    expect(page.locator(".facts").first).to_contain_text("loop")
    expect(page.locator(".state.generating")).to_be_visible(timeout=60_000)
    tab_to(".actions button.danger")
    page.keyboard.press("Enter")
    expect(page.locator(".heading .state")).to_have_text("Cancelled", timeout=60_000)
    expect(page.locator(".failure")).to_contain_text("Retry renders it after all")
    tab_to(".actions button.retry")
    page.keyboard.press("Enter")
    expect(page.locator(".stages")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator(".heading .state")).to_have_text("Cancelled", timeout=60_000)
