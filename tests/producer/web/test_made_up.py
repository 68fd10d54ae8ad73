"""Batches and jobs of every kind, as the page shows them; nothing is rendered for it."""

import json

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from contract import keys
from contract.ledger import Ledger, Progress
from tests.producer.web.visiting import drop, eventually

RTL = "درس-01 مرحبا بالعالم"
LONG = "a-name-that-goes-on-" * 9


@pytest.fixture
def lessons(put_batch, commit):
    """Six rows: two done, one failed, one cancelled, two that wait."""
    rows = put_batch("lessons", [RTL, LONG, "three", "four", "five", "six"])
    for row, status in zip(rows, ("succeeded", "succeeded", "failed", "cancelled"), strict=False):
        commit("lessons", row, status)
    return rows


def row_names(page):
    return page.locator(".rows tbody .row-name").all_text_contents()


def test_a_batch_shows_its_rows_and_what_they_came_to(made_up, lessons):
    page = made_up.go("#/batch/lessons")
    expect(page.get_by_role("heading", name="lessons")).to_be_visible()
    assert row_names(page) == [row.id for row in lessons]
    totals = page.get_by_role("region", name="Totals")
    for told in (
        "Done2 of 6",
        "Failed1",
        "Cancelled1",
        "Running0",
        "Waiting2",
        "Video4.0 s",
        "CostUSD 0.0080",
    ):
        expect(totals).to_contain_text(told)
    expect(page.locator(".rows")).to_contain_text("no_face")
    name = page.locator(".row-name").first
    assert name.evaluate("each => getComputedStyle(each.firstElementChild).direction") == "rtl"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long name breaks the page"


def test_rows_are_chosen_by_state_and_text_and_the_address_keeps_that(made_up, lessons):
    page = made_up.go("#/batch/lessons")
    page.get_by_role("button", name="Failed 1").click()
    eventually(lambda: row_names(page) == ["three"])
    page.reload()
    eventually(lambda: row_names(page) == ["three"])
    assert page.get_by_role("button", name="Failed 1").get_attribute("aria-pressed") == "true"
    page.get_by_role("button", name="All 6").click()
    page.get_by_label("Search rows").fill("مرحبا")
    eventually(lambda: row_names(page) == [RTL])
    page.get_by_label("Search rows").fill("nothing is called so")
    expect(page.get_by_text("No row is like that.")).to_be_visible()
    page.get_by_role("button", name="Show all").click()
    eventually(lambda: len(row_names(page)) == 6)


def test_rows_are_sorted_by_a_heading_there_and_back(made_up, lessons):
    page = made_up.go("#/batch/lessons")
    given = [row.id for row in lessons]
    heading = page.get_by_role("columnheader", name="Row")
    for expected, order in (
        (sorted(given), "ascending"),
        (sorted(given, reverse=True), "descending"),
        (given, "none"),
    ):
        heading.get_by_role("button").click()
        eventually(lambda expected=expected: row_names(page) == expected)
        assert heading.get_attribute("aria-sort") == order


def test_ten_thousand_rows_come_in_pages(made_up, put_batch):
    put_batch("many", [f"row-{number:05}" for number in range(10_000)])
    page = made_up.go("#/batch/many")
    expect(page.get_by_text("1–100 of 10,000 rows")).to_be_visible()
    assert len(row_names(page)) == 100
    page.get_by_role("button", name="Next").click()
    eventually(lambda: row_names(page)[0] == "row-00100")
    page.get_by_label("Search rows").fill("row-0999")
    expect(page.get_by_text("1–10 of 10 rows")).to_be_visible()
    assert row_names(page)[-1] == "row-09999"


def test_a_row_that_moves_does_so_before_ones_eyes_and_keeps_the_focus(made_up, put_batch, settings):
    row, _ = put_batch("moving", ["one", "two"])
    ledger = Ledger(settings)
    ledger.claim(row.job.id, "somebody", 600)
    ledger.beat(row.job.id, "somebody", 600, "tag", Progress("generating", 10, 50, 5.0))
    page = made_up.go("#/batch/moving")
    link = page.get_by_role("link", name="one")
    link.focus()
    expect(page.locator(".rows")).to_contain_text("10 of 50")
    ledger.beat(row.job.id, "somebody", 600, "tag", Progress("generating", 40, 50, 5.0))
    expect(page.locator(".rows")).to_contain_text("40 of 50")
    assert link.evaluate("each => each === document.activeElement")
    link.press("Enter")
    expect(page.locator(".stages")).to_contain_text("40 of 50 frames, 5.0 frames a second")
    expect(page.get_by_role("status")).to_have_text("Generating, 75 % of the frames")


def test_a_failed_job_says_why_and_what_helps_and_is_retried(made_up, lessons):
    page = made_up.go(f"#/job/{lessons[2].job.id}?batch=lessons")
    error = page.get_by_role("region", name="Error")
    expect(error).to_contain_text("no frame of face.MP4 shows a face")
    expect(error).to_contain_text("would end the same way")
    expect(error).to_contain_text("no_face")
    page.get_by_text("What its attempts said").click()
    expect(page.get_by_role("heading", name="Attempt 1: failed")).to_be_visible()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(".heading .state")).to_have_text("Waiting")
    page.get_by_role("link", name="lessons").click()
    expect(page.get_by_role("region", name="Totals")).to_contain_text("Waiting3")


def test_a_job_that_was_measured_shows_its_figures(made_up, put_batch, commit, figures):
    (row,) = put_batch("measured", ["one"])
    commit("measured", row, evaluation=figures)
    made_up.forgive("ERR_|404|media|format|range")  # the made-up video is none, and its source is nowhere
    page = made_up.go(f"#/job/{row.job.id}?batch=measured")
    page.get_by_text("The manifest", exact=True).click()
    shown = page.get_by_role("region", name="Evaluation")
    for told in (
        "audio late by 5 frames",
        "lip_lag",
        "error outside the mask",
        "0.951",
        "95 %: 0.910 to 0.990",
    ):
        expect(shown).to_contain_text(told)
    expect(shown).to_contain_text("1 figure could not be measured")


def test_cancelling_a_batch_asks_first_and_the_dialog_keeps_the_focus(made_up, put_batch, storage):
    put_batch("doomed", ["one", "two"])
    page = made_up.go("#/batch/doomed")
    page.get_by_role("button", name="Cancel the batch").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 rows have not ended")
    for _ in range(5):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || document.activeElement.closest('dialog') !== null"
        )
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert storage.get(keys.cancelled("doomed")) is None
    page.get_by_role("button", name="Cancel the batch").click()
    dialog.get_by_role("button", name="Cancel the batch").click()
    eventually(lambda: storage.get(keys.cancelled("doomed")) is not None)


def test_the_list_of_batches_names_single_jobs_by_their_row_and_leads_there(made_up, put_batch, commit):
    (row,) = put_batch("job-" + "a" * 40, ["face-voice"])
    put_batch("nightly", ["one", "two"])
    commit("job-" + "a" * 40, row, "failed")
    page = made_up.go()
    expect(page.locator(".batches tbody tr")).to_have_count(2)
    expect(page.get_by_role("link", name="nightly")).to_be_visible()
    page.get_by_label("single jobs too").uncheck()
    expect(page.locator(".batches tbody tr")).to_have_count(1)
    page.get_by_label("single jobs too").check()
    page.get_by_role("link", name="face-voice").click()
    expect(page.get_by_role("region", name="Error")).to_be_visible()


def test_a_csv_with_faulty_rows_is_told_line_by_line_and_its_good_rows_may_go(made_up, storage, tmp_path):
    csv = tmp_path / "für heute.csv"
    csv.write_text(
        "id,video,audio,sync_mode\n"
        "good,s3://media/a.mp4,s3://media/a.wav,\n"
        "bad,s3://media/a.mp4,s3://media/a.wav,sideways\n"
        "worse,face.mp4,s3://media/a.wav,\n"
    )
    for name in ("a.mp4", "a.wav"):
        storage.put(name, b"media")
    csv.write_text(csv.read_text().replace("s3://media/", f"s3://{storage.bucket}/"))
    made_up.forgive("422")
    page = made_up.go()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    drop(page, csv)
    expect(page.get_by_label("Name of the batch")).to_have_value("fu-r-heute")
    expect(page.locator(".new-job")).to_contain_text("3 rows")
    page.get_by_role("button", name="Submit the batch").click()
    expect(page.get_by_role("alert").filter(has_text="2 faults; nothing was submitted.")).to_be_visible()
    cells = page.locator(".faults tbody tr").all_text_contents()
    assert [cell[0] for cell in cells] == ["3", "4"]
    assert "sideways" in cells[0] and "face.mp4" in cells[1]
    page.get_by_role("button", name="Submit the good rows all the same").click()
    expect(page.locator(".faults")).to_contain_text("1 row submitted. 2 rows were left out")
    page.get_by_role("link", name="go to the batch").click()
    eventually(lambda: row_names(page) == ["good"])


def test_what_cannot_be_taken_is_refused_in_a_sentence(made_up, tmp_path):
    for name in ("notes.txt", "one.wav", "two.wav", "face.mp4", "empty.mp4"):
        (tmp_path / name).write_bytes(b"" if name == "empty.mp4" else b"some")
    page = made_up.go()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    fault = page.locator(".new-job .fault")
    drop(page, tmp_path / "notes.txt")
    expect(fault).to_have_text("notes.txt is no video, image, sound or CSV by its name.")
    drop(page, tmp_path / "one.wav", tmp_path / "two.wav")
    expect(fault).to_contain_text("One video and one audio at a time")
    page.get_by_role("button", name="Generate").click()
    expect(fault).to_contain_text("There is no video and no audio yet")
    drop(page, tmp_path / "empty.mp4")
    expect(fault).to_have_text("empty.mp4 has no bytes.")
    drop(page, tmp_path / "face.mp4", tmp_path / "one.wav")
    expect(page.locator(".estimate")).to_contain_text("cannot read how long the audio is")
    page.get_by_text("More options").click()
    page.get_by_label("Margin below the chin").fill("900")
    page.get_by_role("button", name="Generate").click()
    expect(fault).to_contain_text("Margin below the chin")
    page.get_by_label("Margin below the chin").fill("")
    page.get_by_label("Start").fill("5")
    page.get_by_label("End").fill("2")
    made_up.forgive("422")
    page.get_by_role("button", name="Generate").click()
    expect(fault).to_contain_text("end (2) must be greater than start (5)")


def test_every_column_of_the_csv_is_an_option_with_its_default(made_up):
    page = made_up.go()
    page.get_by_text("More options").click()
    columns = page.evaluate("fetch('/openapi.json').then((each) => each.json())")["paths"]["/jobs"]["post"][
        "requestBody"
    ]["content"]["application/json"]["schema"]["properties"]
    for name in columns.keys() - {"video", "audio"}:
        expect(page.locator(f"#option-{name}")).to_be_visible()
    assert page.locator("#option-engine option").all_text_contents() == columns["engine"]["enum"]
    assert page.locator("#option-priority").evaluate("each => each.selectedOptions[0].text") == "normal"
    assert (
        json.dumps(
            page.evaluate(
                "[...new FormData(document.querySelector('form')).values()].filter((each) => typeof each === 'string' && each !== '')"
            )
        )
        == "[]"
    )


def test_the_server_s_own_engine_and_limit_are_shown_before_anything_is_sent(
    serve, settings, visit, portrait
):
    made = visit(serve(settings.model_copy(update={"engine": "musetalk-v15", "max_input_bytes": 1000})))
    page = made.go()
    assert page.locator("#option-engine").evaluate("each => each.selectedOptions[0].text") == "musetalk-v15"
    drop(page, portrait)
    expect(page.locator(".new-job .fault")).to_contain_text(
        "portrait.mp4 has 1.51 MB; this server takes up to 1.00 kB"
    )


def test_an_upload_shows_how_far_it_is_and_can_be_stopped(made_up, portrait, voice):
    page = made_up.go()
    expect(page.get_by_role("heading", name="New job")).to_be_visible()
    page.route("**/generate", lambda route: None)  # the server takes its time
    drop(page, portrait, voice)
    page.get_by_role("button", name="Generate").click()
    expect(page.get_by_role("progressbar", name="Upload")).to_be_visible()
    expect(page.locator(".way")).to_contain_text("Uploading, 0 %")
    expect(page.get_by_role("button", name="Generate")).to_be_disabled()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".way")).to_be_hidden()
    expect(page.get_by_role("button", name="Generate")).to_be_enabled()


def test_where_events_do_not_come_the_page_asks(made_up, put_batch, settings):
    (row,) = put_batch("polled", ["one"])
    ledger = Ledger(settings)
    ledger.claim(row.job.id, "somebody", 600)
    made_up.forgive("ERR_FAILED")
    made_up.page.route("**/events?*", lambda route: route.abort())
    page = made_up.go(f"#/job/{row.job.id}?batch=polled")
    for frames in (10, 40):
        ledger.beat(row.job.id, "somebody", 600, "tag", Progress("generating", frames, 50, 5.0))
        expect(page.locator(".stages")).to_contain_text(f"{frames} of 50 frames", timeout=20_000)


def test_while_redis_is_away_the_page_says_what_is_not_known(serve, settings, visit, put_batch, commit):
    one, _ = put_batch("dark", ["one", "two"])
    commit("dark", one)
    away = settings.model_copy(update={"redis_url": SecretStr("redis://127.0.0.1:1/0")})
    page = visit(serve(away)).go("#/batch/dark")
    expect(page.get_by_text("Redis is away: only what has ended is known.")).to_be_visible()
    expect(page.locator(".rows tbody tr").first).to_contain_text("Done")
