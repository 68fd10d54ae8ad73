from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from contract.errors import Cancelled, EngineFailed, NoFace
from contract.job import Job, JobOptions, Source
from contract.manifest import (
    Attempt,
    Cost,
    Curves,
    ErrorRecord,
    Frames,
    Manifest,
    OutputRecord,
    SyncCheck,
    WarningRecord,
)
from producer.gallery.page import Entry, write_gallery

BEGAN = datetime(2026, 11, 22, 8, tzinfo=UTC)
OUTPUT = OutputRecord(
    key="outputs/demo/a.mp4",
    bytes=1_234_567,
    sha256="0" * 64,
    frames=140,
    fps="25/1",
    duration_seconds=5.6,
    width=1280,
    height=720,
    video_codec="h264",
    audio_codec="aac",
)
SYNC = SyncCheck(
    status="ok", frames=138, correlation=0.714, lag_frames=-1, shifted_correlation=-0.052, z_score=4.21
)
CURVES = Curves(fps=25, aperture=(0.0, 0.04, None, 0.08), loudness=(-50.0, -20.0, -50.0, -10.0))


def manifest(**changes: Any) -> Manifest:
    job = Job(
        video=Source(uri="s3://bucket/v"),
        audio=Source(uri="s3://bucket/a"),
        options=changes.pop("options", JobOptions()),
    )
    attempt = Attempt(id="1", number=3, host="worker-1", started=BEGAN, ended=BEGAN + timedelta(seconds=2))
    facts: dict[str, Any] = {
        "status": "succeeded",
        "output": OUTPUT,
        "frames": Frames(total=140, with_face=138, without_face=2),
        "sync_check": SYNC,
        "cost": Cost(seconds=2.0, price_per_hour=1.006, currency="USD", amount=0.00056),
    }
    return Manifest(job_id=job.id, batch="demo", row="a", job=job, attempt=attempt, **(facts | changes))


def failed(error: ErrorRecord) -> Manifest:
    return manifest(status="failed", output=None, frames=None, sync_check=None, error=error)


class Page(HTMLParser):
    """What a browser would make of the page: its elements and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join(word for word in self.words if word)

    def find(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        wanted = attributes.items()
        return [has for name, has in self.elements if name == tag and all(has.get(k) == v for k, v in wanted)]


def shown(folder: Path, *entries: Entry, batch: str = "demo") -> Page:
    return Page(write_gallery(folder, batch, entries))


def test_source_and_result_play_side_by_side_with_the_results_sound(tmp_path: Path) -> None:
    page = shown(tmp_path, Entry("a", manifest(), tmp_path / "v.mp4", tmp_path / "a.mp4", CURVES))
    source, result = page.find("video")
    assert (source["class"], source["src"], "muted" in source) == ("source", "v.mp4", True)
    assert (result["class"], result["src"], "muted" in result) == ("result", "a.mp4", False)
    assert len(page.find("button")) == 1


def test_the_page_tells_its_script_how_the_source_was_stretched(tmp_path: Path) -> None:
    options = JobOptions(sync_mode="loop", start=1.5, end=4)
    page = shown(
        tmp_path, Entry("a", manifest(options=options), tmp_path / "v.mp4", tmp_path / "a.mp4", CURVES)
    )
    (card,) = page.find("article")
    assert (card["data-mode"], card["data-start"], card["data-end"]) == ("loop", "1.5", "4.0")


def test_an_image_is_shown_as_one(tmp_path: Path) -> None:
    page = shown(tmp_path, Entry("a", manifest(), tmp_path / "still.JPG", tmp_path / "a.mp4", CURVES))
    (image,) = page.find("img")
    assert (image["src"], image["alt"]) == ("still.JPG", "Source of a")
    assert [video["class"] for video in page.find("video")] == ["result"]


def test_the_manifests_figures_are_shown(tmp_path: Path) -> None:
    text = shown(tmp_path, Entry("a", manifest(), None, tmp_path / "a.mp4", CURVES)).text
    for figure in (
        "preview engine, 1280 × 720, 25 fps, 5.60 s",
        "Sync correlation 0.71",
        "With shifted audio −0.05 z-score 4.2",
        "Lag in frames −1 the lips are early",
        "Frames with a face 138 2 without one",
        "Time taken 2.0 s 2.8 × real time",
        "Cost USD 0.0006",
        "Attempt 3",
    ):
        assert figure in text


def test_the_batch_is_summed_up(tmp_path: Path) -> None:
    bad = failed(ErrorRecord.of(NoFace("no face")))
    text = shown(tmp_path, Entry("a", manifest()), Entry("b", manifest()), Entry("c", bad), batch="May").text
    assert "Dubline batch May Rendered 2 of 3 Video 11.2 s Worker time 6.0 s Cost USD 0.0017" in text


@pytest.mark.parametrize(
    ("error", "fate"),
    [
        (NoFace("no frame of sea.mp4 shows a usable face"), "Trying again would not help."),
        (EngineFailed("the engine failed"), "Given up after attempt 3."),
    ],
)
def test_a_failed_job_shows_code_message_and_what_became_of_it(
    tmp_path: Path, error: NoFace | EngineFailed, fate: str
) -> None:
    page = shown(tmp_path, Entry("a", failed(ErrorRecord.of(error)), tmp_path / "sea.mp4"))
    assert f"{error.code} {error.message} {fate}" in page.text
    assert [video["class"] for video in page.find("video")] == ["source"]
    assert page.find("button") == []


def test_a_cancelled_job_says_so_and_no_more(tmp_path: Path) -> None:
    cancelled = failed(ErrorRecord.of(Cancelled("cancelled by a person"))).model_copy(
        update={"status": "cancelled"}
    )
    text = shown(tmp_path, Entry("a", cancelled)).text
    assert "cancelled cancelled by a person Time taken" in text


def test_warnings_are_shown(tmp_path: Path) -> None:
    warned = manifest(warnings=(WarningRecord(code="truncated", message="the video ends early"),))
    assert "the video ends early" in shown(tmp_path, Entry("a", warned)).text


def test_a_sync_check_that_could_not_be_made_says_why(tmp_path: Path) -> None:
    check = SyncCheck(status="unavailable", reason="3 frames show a face; the check needs 50", frames=3)
    text = shown(tmp_path, Entry("a", manifest(sync_check=check))).text
    assert "Sync correlation – 3 frames show a face; the check needs 50" in text


def test_without_curves_the_video_still_plays(tmp_path: Path) -> None:
    page = shown(tmp_path, Entry("a", manifest(), None, tmp_path / "a.mp4"))
    assert "Lip aperture and loudness were not measured." in page.text
    assert page.find("path", **{"class": "aperture"}) == []
    assert page.find("input", **{"type": "range", "max": "5.600"})


def test_a_source_that_is_not_local_is_said_to_be_elsewhere(tmp_path: Path) -> None:
    assert (
        "Not on this machine Source" in shown(tmp_path, Entry("a", manifest(), None, tmp_path / "a.mp4")).text
    )


def test_a_result_that_was_not_fetched_is_said_to_be_elsewhere(tmp_path: Path) -> None:
    page = shown(tmp_path, Entry("a", manifest(), tmp_path / "v.mp4"))
    assert "Not on this machine Result" in page.text
    assert page.find("button") == []


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '" onload="alert(1)', "a & b", "${row} $batch"]
)
def test_hostile_names_and_messages_stay_text(tmp_path: Path, name: str) -> None:
    error = ErrorRecord(code="no_face", message=name, retryable=False)
    warned = manifest(warnings=(WarningRecord(code="x", message=name),), device=name)
    good = Entry(name, warned, tmp_path / f"{name.replace('/', '')}.mp4", tmp_path / "a.mp4", CURVES)
    page = shown(tmp_path, good, Entry(name, failed(error)), batch=name)
    plain = shown(tmp_path, Entry("a", manifest(), tmp_path / "v.mp4", tmp_path / "a.mp4", CURVES))
    assert page.words.count(name) == 6  # heading, two rows, warning, device, error
    assert len(page.find("script")) == len(plain.find("script")) == 1
    assert not any("onload" in attributes for _, attributes in page.elements)
    assert page.find("button")[0]["aria-label"] == f"Play {name}"


@pytest.mark.parametrize("name", ["two words.mp4", "Übung 100%.mp4", "a#b?c.mp4", "javascript:alert(1).mp4"])
def test_addresses_are_relative_and_percent_encoded(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "demo-out"
    folder.mkdir()
    page = shown(folder, Entry("a", manifest(), tmp_path / "demo" / name, folder / name, CURVES))
    source, result = (video["src"] or "" for video in page.find("video"))
    assert (unquote(source), unquote(result)) == (f"../demo/{name}", name)
    for address in (source, result):
        assert address.isascii()
        assert not set(address) & set(" #?:")


def test_every_element_that_is_used_has_a_name(tmp_path: Path) -> None:
    page = shown(tmp_path, Entry("a", manifest(), tmp_path / "v.mp4", tmp_path / "a.mp4", CURVES))
    controls = [has for tag, has in page.elements if tag in {"button", "input", "video"}]
    assert len(controls) == 4
    assert all(has.get("aria-label") for has in controls)


def test_nothing_is_fetched_from_elsewhere(tmp_path: Path) -> None:
    page = write_gallery(
        tmp_path, "demo", [Entry("a", manifest(), tmp_path / "v.mp4", tmp_path / "a.mp4", CURVES)]
    )
    assert page == tmp_path / "index.html"
    assert "http" not in page.read_text(encoding="utf-8")


def test_an_empty_batch_has_a_page_too(tmp_path: Path) -> None:
    assert "Rendered 0 of 0" in shown(tmp_path).text
