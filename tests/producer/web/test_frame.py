"""What holds for the whole page: keys, themes, a server that is gone, addresses that lead nowhere, names and roles."""

import httpx2
import pytest
from playwright.sync_api import expect

from producer.api.keyring import add_key, remove_key
from tests.producer.web.visiting import drop, eventually


@pytest.fixture
def keyed(serve, settings, visit, tmp_path):
    """The page of a server that asks for a key, and a key of it."""
    file = tmp_path / "keys.toml"
    key = add_key(file, "ann")
    made = visit(serve(settings.model_copy(update={"api_keys": file})))
    made.keys_file, made.key = file, key
    return made


def sign_in(page, key):
    page.get_by_label("Key", exact=True).fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_a_server_with_keys_asks_for_one_keeps_it_in_the_tab_and_forgets_it(keyed):
    keyed.forgive("401")
    page = keyed.go()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This server asks for a key")
    sign_in(page, "dub_wrong")
    expect(dialog).to_contain_text("The server does not know that key")
    sign_in(page, keyed.key)
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    expect(dialog).to_be_hidden()
    page.reload()
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    assert page.evaluate("[sessionStorage.length, JSON.stringify(localStorage).includes('dub_')]") == [
        1,
        False,
    ]
    page.get_by_role("button", name="Sign out").click()
    expect(dialog).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_with_a_key_a_job_is_followed_and_shown_by_links_that_carry_a_token(keyed, put_batch, commit):
    (row,) = put_batch("ann--shown", ["face-voice"], owner="ann")
    (waiting,) = put_batch("ann--job-" + "b" * 40, ["later"], owner="ann")
    commit("ann--shown", row)
    page = keyed.go()
    sign_in(page, keyed.key)
    expect(page.get_by_role("link", name="shown")).to_be_visible()
    with page.expect_request(lambda each: "/events?" in each.url and "token=" in each.url):
        page.get_by_role("link", name="later").click()
    expect(page.locator(".heading .state")).to_have_text("Waiting")
    assert keyed.key not in " ".join(keyed.requests)
    assert waiting.job.id in page.url
    keyed.forgive("ERR_|404|media|format|range")  # the made-up video is none, and its source is nowhere
    page.goto(f"{keyed.url}/#/job/{row.job.id}?batch=ann--shown")
    expect(page.locator(".headline")).to_contain_text("Sync check")
    assert page.get_by_role("link", name="Download video").get_attribute("href").count("token=") == 1


def test_a_key_that_was_removed_signs_out(keyed):
    keyed.forgive("401")
    page = keyed.go()
    sign_in(page, keyed.key)
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    remove_key(keyed.keys_file, "ann")
    add_key(keyed.keys_file, "bob")
    eventually(lambda: _refused(keyed))
    page.get_by_label("single jobs too").uncheck()
    expect(page.get_by_role("dialog")).to_contain_text("does not know that key")


def _refused(keyed):
    return (
        httpx2.get(
            f"{keyed.url}/batches", headers={"Authorization": f"Bearer {keyed.key}"}, trust_env=False
        ).status_code
        == 401
    )


def test_too_many_requests_are_waited_out(serve, settings, visit, tmp_path):
    file = tmp_path / "keys.toml"
    key = add_key(file, "ann")
    slow = visit(serve(settings.model_copy(update={"api_keys": file, "api_rate_per_minute": 3})))
    slow.forgive("429|401")
    page = slow.go()
    sign_in(page, key)
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    for _ in range(6):
        page.get_by_label("single jobs too").click()
    expect(
        page.get_by_role("alert").filter(has_text="Too many requests for this key; going on in")
    ).to_be_visible()


def test_a_server_that_is_gone_is_said_and_found_again(serve, settings, visit, put_batch):
    put_batch("there", ["one"])
    url = serve(settings)
    made = visit(url)
    made.forgive("ERR_")
    page = made.go("#/batch/there")
    expect(page.locator(".rows tbody tr")).to_have_count(1)
    serve.stop()
    gone = page.get_by_role("alert").filter(has_text="The server does not answer.")
    expect(gone).to_be_visible()
    expect(page.locator(".rows tbody tr")).to_have_count(1)
    serve(settings, int(url.rpartition(":")[2]))
    expect(gone).to_be_hidden()


def test_an_address_that_leads_nowhere_says_so(made_up):
    made_up.forgive("404")
    page = made_up.go("#/batch/nightly")
    expect(page.locator(".trouble")).to_contain_text("there is no batch 'nightly'")
    page.goto(f"{made_up.url}/#/elsewhere")
    expect(page.locator(".trouble")).to_contain_text("nothing at that address")
    page.get_by_role("link", name="Go to the beginning").click()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()


def ground(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark_follow_the_system_until_somebody_chooses(serve, settings, visit):
    made = visit(serve(settings), color_scheme="dark")
    page = made.go()
    assert ground(page) == "rgb(15, 18, 22)"
    page.get_by_label("Theme").select_option("light")
    assert ground(page) == "rgb(243, 244, 246)"
    page.reload()
    assert ground(page) == "rgb(243, 244, 246)"
    page.get_by_label("Theme").select_option("")
    assert ground(page) == "rgb(15, 18, 22)"


def test_everything_on_the_page_has_a_role_and_a_name(made_up, put_batch, commit, portrait, voice):
    for row in put_batch("named", ["one", "two"]):
        commit("named", row, "failed")
    page = made_up.go()
    expect(page.get_by_role("link", name="named")).to_be_visible()
    drop(page, portrait, voice)
    expect(page.locator(".estimate")).to_contain_text("of one worker")
    page.get_by_text("More options").click()
    assert nameless(page) == []
    page.goto(f"{made_up.url}/#/batch/named")
    expect(page.locator(".rows tbody tr")).to_have_count(2)
    assert nameless(page) == []
    page.get_by_role("link", name="one").click()
    expect(page.get_by_role("region", name="Error")).to_be_visible()
    assert nameless(page) == []
    snapshot = page.locator("body").aria_snapshot()
    for told in (
        "banner",
        "main",
        "contentinfo",
        'heading "one" [level=1]',
        'button "Retry"',
        'region "Error"',
    ):
        assert told in snapshot


def nameless(page):
    """Lines of the accessibility tree that tell of a control or a picture and not which."""
    roles = (
        "button",
        "link",
        "combobox",
        "textbox",
        "searchbox",
        "spinbutton",
        "checkbox",
        "slider",
        "img",
        "table",
    )
    lines = [line.strip("- :") for line in page.locator("body").aria_snapshot().splitlines()]
    return [line for line in lines if line.split(" ")[0] in roles and '"' not in line]


def test_the_focus_is_seen_and_reaches_everything_in_order(made_up):
    page = made_up.go()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    seen = []
    for _ in range(25):
        page.keyboard.press("Tab")
        seen.append(page.evaluate(SEEN))
    named = [each["what"] for each in seen]
    wanted = [
        "skip",
        "theme",
        "file-video",
        "file-audio",
        "option-engine",
        "option-sync_mode",
        "option-face",
        "option-priority",
    ]
    assert [each for each in named if each in wanted][: len(wanted)] == wanted
    assert [each for each in seen if each["what"] and not each["outlined"]] == []


SEEN = """(() => {
  const each = document.activeElement;
  const shown = each.closest(".well, label.link, .plot") ?? each;
  return { what: each.id, outlined: each === document.body || getComputedStyle(shown).outlineStyle !== "none" };
})()"""


def test_on_a_phone_nothing_lies_beside_the_screen(serve, settings, visit, put_batch):
    put_batch("narrow", ["a-name-that-goes-on-" * 9])
    made = visit(serve(settings), viewport={"width": 390, "height": 844})
    for address in ("", "#/batch/narrow"):
        page = made.go(address)
        expect(page.locator(".panel").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
