"""One look at a folder after the other, on the real store."""

import json
import threading
from datetime import timedelta

import pytest

from contract import keys
from contract.errors import ConfigurationError, InputChanged, InputNotFound, StoreUnavailable
from producer.watch import watcher as module
from producer.watch.batching import Submitted
from producer.watch.doorbell import Doorbell
from producer.watch.folder import Folder


def test_pairs_that_are_seen_together_become_one_batch_with_pinned_inputs(drop, storage):
    drop.pair("clip01", "clip02")
    scan = drop.watcher().scan()
    (batch,) = drop.batches()
    assert scan.submitted == [Submitted(batch, 2)]
    assert batch.startswith("drop-")
    assert drop.ids() == ["clip01", "clip02"]
    (_, row), _ = drop.rows()
    assert row.job.video.uri == f"s3://{storage.bucket}/drop/clip01.mp4"
    assert row.job.video.etag == storage.stat("drop/clip01.mp4").etag
    assert row.job.audio.etag == storage.stat("drop/clip01.wav").etag
    assert drop.there() == {"clip01.mp4", "clip01.wav", "clip02.mp4", "clip02.wav"}


def test_looking_again_and_after_a_restart_changes_nothing(drop):
    drop.pair("clip01", "clip02")
    watcher = drop.watcher()
    watcher.scan()
    before = drop.rows()
    assert watcher.scan().submitted == []
    again = drop.watcher().scan()
    assert (again.submitted, again.pairs) == ([], 2)
    assert drop.rows() == before


def test_the_case_of_names_and_types_does_not_matter(drop):
    drop.put("Clip01.MP4", "clip01.WAV", "ÜBER.mov", "über.m4a")
    drop.watcher().scan()
    assert drop.ids() == ["Clip01", "ÜBER"]


def test_a_folder_that_holds_one_of_each_is_a_pair_under_its_name(drop, storage):
    drop.put("clip01/face.mov", "clip01/voice.mp3")
    drop.put("clip01.json", body='{"sync_mode": "loop"}')
    drop.watcher().scan()
    ((_, row),) = drop.rows()
    assert (row.id, row.job.options.sync_mode) == ("clip01", "loop")
    assert row.job.audio.uri == f"s3://{storage.bucket}/drop/clip01/voice.mp3"


def test_a_still_image_is_a_video(drop):
    drop.put("face.JPG", "face.wav")
    drop.watcher().scan()
    assert drop.ids() == ["face"]


def test_the_same_name_with_new_content_is_a_new_job(drop):
    drop.pair("clip01")
    watcher = drop.watcher()
    watcher.scan()
    drop.put("clip01.wav", body="another voice")
    watcher.scan()
    assert drop.ids() == ["clip01", "clip01"]
    assert len({row.job.id for _, row in drop.rows()}) == 2


def test_the_same_content_put_again_is_the_same_pair(drop):
    drop.pair("clip01")
    watcher = drop.watcher()
    watcher.scan()
    drop.pair("clip01")
    assert watcher.scan().submitted == []
    assert drop.ids() == ["clip01"]


def test_an_input_that_is_swapped_after_its_submission_fails_clearly(drop, storage, tmp_path):
    drop.pair("clip01")
    drop.watcher().scan()
    ((_, row),) = drop.rows()
    drop.put("clip01.mp4", body="another video")
    with pytest.raises(InputChanged, match=r"clip01\.mp4 was replaced after it was submitted"):
        storage.download(row.job.video.uri, tmp_path / "video", etag=row.job.video.etag)


def test_a_pair_is_submitted_only_once_both_halves_are_older_than_some_seconds_by_the_store_s_clock(
    drop, monkeypatch
):
    monkeypatch.setattr("producer.watch.scan.SETTLE", timedelta(seconds=5))
    drop.pair("clip01")
    watcher = drop.watcher()
    scan = watcher.scan()
    assert (scan.unsettled, scan.submitted) == (1, [])
    clock = watcher._storage.clock
    monkeypatch.setattr(watcher._storage, "clock", lambda address: clock(address) + timedelta(seconds=7))
    drop.put("clip02.mp4")
    assert [each.rows for each in watcher.scan().submitted] == [1]
    assert drop.ids() == ["clip01"]


def test_options_beside_a_pair_are_the_columns_of_a_csv(drop):
    drop.pair("clip01")
    options = {"sync_mode": "freeze", "start": 1.5, "bbox_shift": -3, "priority": "high", "time_limit": 20}
    drop.put("clip01.json", body=json.dumps({**options, "face": "left", "end": None}))
    drop.watcher().scan()
    ((_, row),) = drop.rows()
    made = row.job.options
    assert (made.sync_mode, made.start, made.end, made.bbox_shift, made.face) == (
        "freeze",
        1.5,
        None,
        -3,
        "left",
    )
    assert (row.priority, row.time_limit_seconds) == ("high", 1200)


def test_other_options_beside_the_same_pair_are_a_new_job(drop):
    drop.pair("clip01")
    watcher = drop.watcher()
    watcher.scan()
    drop.put("clip01.json", body='{"sync_mode": "loop"}')
    watcher.scan()
    assert sorted(row.job.options.sync_mode for _, row in drop.rows()) == ["bounce", "loop"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            '{"sync_mode": "sideways"}',
            "sync_mode is 'sideways'; it must be bounce, loop, cut, freeze or silence",
        ),
        ('{"synk_mode": "loop"}', "option 'synk_mode' is unknown; did you mean 'sync_mode'?"),
        ('{"video": "s3://bucket/other.mp4"}', "option 'video' is unknown"),
        ('{"": 1}', "an option has no name"),
        ('{"priority": "urgent"}', "priority is 'urgent'; it must be low, normal or high"),
        ('{"time_limit": 0}', "time_limit is '0'; it must be minutes"),
        ('{"start": 3, "end": 2}', r"end \(2\) must be greater than start \(3\)"),
        ('{"end": NaN}', "end is 'NaN'; it must be a number greater than 0"),
        ('{"face": true}', "face is true; it must be a text or a number"),
        ('{"face": ["left"]}', r'face is \["left"\]; it must be a text or a number'),
        ('["loop"]', "must be an object of JSON"),
        ("sync_mode: loop", "clip01.json is not JSON"),
        ("", "clip01.json is not JSON"),
        ("[" * 60_000, "clip01.json is not JSON"),
        (b"\xff\xfe\x00{", "clip01.json is not JSON"),
        (b" " * 70_000, "clip01.json has 70,000 bytes; options have at most 65,536"),
    ],
)
def test_options_that_mean_nothing_are_refused_and_submitted_once_they_are_right(drop, options, said):
    drop.pair("clip01", "good")
    drop.put("clip01.json", body=options)
    watcher = drop.watcher()
    watcher.scan()
    assert drop.ids() == ["good"]
    ((code, message),) = drop.told("clip01")
    assert code == "bad_request"
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(message)
    drop.put("clip01.json", body='{"sync_mode": "loop"}')
    watcher.scan()
    assert drop.ids() == ["clip01", "good"]
    assert "clip01.error.json" not in drop.there()


def test_all_that_is_wrong_with_a_pair_is_told_at_once(drop):
    drop.put("clip01.mp4", body=b"")
    drop.put("clip01.wav", body=b"x" * 101)
    drop.put("clip01.json", body='{"sync_mode": "x", "face": "up"}')
    drop.watcher(max_input_bytes=100).scan()
    assert sorted(code for code, _ in drop.told("clip01")) == [
        "bad_request",
        "bad_request",
        "input_empty",
        "input_too_large",
    ]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (
            ["clip01.mp4", "clip01.mov", "clip01.wav"],
            "there are 2 videos of this name: clip01.mov, clip01.mp4",
        ),
        (
            ["clip01.mp4", "clip01.mp3", "clip01.wav"],
            "there are 2 audios of this name: clip01.mp3, clip01.wav",
        ),
        (["clip01.mp4", "clip01.mov"], "there are 2 videos of this name"),
        (["clip01.mp4", "clip01.wav", "clip01/a.mp4", "clip01/a.wav"], "there are 2 videos of this name"),
        (["clip01/a.mp4", "clip01/a.wav", "clip01/b.mp4", "clip01/b.wav"], "there are 2 videos of this name"),
        (
            ["clip01.mp4", "clip01.wav", "clip01.json", "CLIP01.json"],
            "there are 2 files of options of this name",
        ),
        (["clip01/a/face.mp4", "clip01/a/voice.wav"], "clip01/a/face.mp4, clip01/a/voice.wav lies too deep"),
    ],
)
def test_several_candidates_are_refused_with_a_reason(drop, names, said):
    drop.put(*names)
    scan = drop.watcher().scan()
    (report,) = scan.refused
    assert said in drop.told(report.name)[0][1]
    assert drop.rows() == []


def test_a_refused_pair_is_submitted_once_one_candidate_is_left_and_its_report_goes(drop, storage):
    drop.put("clip01.mp4", "clip01.mov", "clip01.wav")
    watcher = drop.watcher()
    watcher.scan()
    assert "clip01.error.json" in drop.there()
    storage.delete("drop/clip01.mov")
    watcher.scan()
    assert drop.ids() == ["clip01"]
    assert drop.there() == {"clip01.mp4", "clip01.wav"}


def test_a_report_stands_while_its_reason_does_and_is_written_once(drop, storage, caplog):
    drop.put("clip01.mp4", "clip01.mov")
    watcher = drop.watcher()
    watcher.scan()
    written = storage.stat("drop/clip01.error.json").modified, len(caplog.messages)
    storage_put, puts = storage.put, []
    storage.put = lambda *words: [puts.append(words), storage_put(*words)]
    watcher.scan()
    assert puts == []
    assert (storage.stat("drop/clip01.error.json").modified, len(caplog.messages)) == written
    storage.delete("drop/clip01.error.json")
    watcher.scan()
    assert "clip01.error.json" in drop.there()


def test_a_report_of_what_was_taken_away_goes_too(drop, storage):
    drop.put("clip01.mp4", "clip01.mov")
    drop.watcher().scan()
    storage.delete_all(["drop/clip01.mp4", "drop/clip01.mov"])
    drop.watcher().scan()
    assert drop.there() == set()


def test_what_people_call_error_json_is_no_option_and_stays(drop):
    drop.pair("clip01")
    drop.put("clip01.error.json", body='{"mine": true}')
    drop.put("other.ERROR.json", body="mine")
    scan = drop.watcher().scan()
    assert (drop.ids(), scan.refused, scan.singles) == (["clip01"], [], [])
    assert {"clip01.error.json", "other.ERROR.json"} <= drop.there()


def test_a_pair_whose_options_are_named_like_a_report_has_none(drop):
    drop.pair("clip.error")
    drop.put("clip.error.json", body='{"sync_mode": "loop"}')
    drop.watcher().scan()
    ((_, row),) = drop.rows()
    assert (row.id, row.job.options.sync_mode) == ("clip.error", "bounce")


@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "notes.txt", "folder/", "clip01/.hidden.mp4", "sub/readme.md"]
)
def test_what_is_no_input_is_let_lie(drop, name):
    drop.pair("clip01")
    drop.put(name)
    scan = drop.watcher().scan()
    assert (drop.ids(), scan.refused, scan.singles) == (["clip01"], [], [])


def test_a_name_that_can_be_no_row_is_refused(drop):
    drop.pair("x" * 201)
    drop.watcher().scan()
    ((_, message),) = drop.told("x" * 201)
    assert "must be 1 to 200 characters" in message


def test_a_single_waits_and_is_reported_after_its_time(drop, caplog):
    drop.put("clip01.mp4", "clip01.wmv")
    drop.put("clip02.wav")
    drop.put("clip03.json", body="{}")
    scan = drop.watcher().scan()
    assert [(each.name, each.has, each.needs) for each in scan.singles] == [
        ("clip01", "video", "audio"),
        ("clip02", "audio", "video"),
        ("clip03", "options", "video and audio"),
    ]
    assert (scan.refused, caplog.messages) == ([], [])
    late = drop.watcher(drop_single_seconds=1e-6)
    clock = late._storage.clock
    late._storage.clock = lambda address: clock(address) + timedelta(seconds=2)
    assert len(late.scan().refused) == 3
    ((code, message),) = drop.told("clip01")
    assert code == "no_partner"
    assert "UTC no audio; put it beside, or remove what is there" in message
    assert "of no type that Dubline takes: drop/clip01.wmv" in message
    assert len(caplog.messages) == 3
    drop.put("clip01.wav")
    late.scan()
    assert drop.ids() == ["clip01"]
    assert "clip01.error.json" not in drop.there()


# --- CSVs


def test_a_csv_is_a_batch_and_its_relative_names_mean_objects_beside_it(drop, storage):
    drop.put("videos/face.mp4", "voice.wav")
    storage.put("elsewhere.wav", b"voice")
    drop.put(
        "Jobs für heute.csv",
        body=f"id,video,audio,sync_mode\none,videos/face.mp4,./voice.wav,loop\n"
        f"two,videos/face.mp4,s3://{storage.bucket}/elsewhere.wav,\n",
    )
    watcher = drop.watcher()
    scan = watcher.scan()
    (batch,) = drop.batches()
    assert batch.startswith("Jobs-fur-heute-")
    assert (scan.tables, scan.refused, scan.submitted) == (1, [], [Submitted(batch, 2)])
    rows = {row.id: row.job for _, row in drop.rows()}
    assert rows["one"].options.sync_mode == "loop"
    assert rows["one"].audio.uri == f"s3://{storage.bucket}/drop/voice.wav"
    assert rows["one"].audio.etag == storage.stat("drop/voice.wav").etag
    assert rows["two"].audio.etag == storage.stat("elsewhere.wav").etag
    assert (watcher.scan().submitted, drop.watcher().scan().submitted) == ([], [])


def test_a_csv_in_a_folder_names_what_lies_in_that_folder(drop, storage):
    drop.put("season/a.mp4", "season/b.mp4", "season/a.wav")
    drop.put("season/jobs.csv", body="video,audio\na.mp4,a.wav\nb.mp4,a.wav\n")
    drop.watcher().scan()
    assert drop.ids() == ["a-a", "b-a"]
    assert drop.there() == {"season/a.mp4", "season/b.mp4", "season/a.wav", "season/jobs.csv"}


def test_what_a_csv_names_is_no_pair_of_its_own(drop):
    drop.pair("clip01", "clip02")
    drop.put("jobs.csv", body="video,audio\nclip01.mp4,clip01.wav\n")
    drop.watcher().scan()
    assert drop.ids() == ["clip01-clip01", "clip02"]


def test_rows_with_faults_are_told_with_their_lines_and_nothing_of_the_csv_is_submitted(drop, storage):
    drop.pair("clip01")
    drop.put("jobs.csv", body="video,audio,face\nclip01.mp4,clip01.wav,\ngone.mp4,clip01.wav,up\n")
    watcher = drop.watcher()
    watcher.scan()
    report = json.loads(storage.get("drop/jobs.error.json"))
    assert [(each["code"], each.get("line")) for each in report["faults"]] == [
        ("bad_request", None),
        ("bad_request", 3),
        ("input_not_found", 3),
    ]
    assert report["faults"][0]["message"].startswith(
        "1 of 2 rows cannot become jobs, and none of it is submitted"
    )
    assert drop.rows() == []


def test_a_csv_that_came_before_its_inputs_is_submitted_when_they_are_there(drop):
    drop.put("jobs.csv", body="video,audio\nclip01.mp4,clip01.wav\n")
    watcher = drop.watcher()
    watcher.scan()
    assert {code for code, _ in drop.told("jobs")} == {"bad_request", "input_not_found"}
    drop.pair("clip01")
    watcher.scan()
    assert drop.ids() == ["clip01-clip01"]
    assert drop.there() == {"jobs.csv", "clip01.mp4", "clip01.wav"}


def test_a_refused_csv_that_names_objects_elsewhere_is_checked_again_now_and_then(drop, storage, monkeypatch):
    drop.put("jobs.csv", body=f"video,audio\ns3://{storage.bucket}/v.mp4,s3://{storage.bucket}/a.wav\n")
    watcher = drop.watcher()
    watcher.scan()
    storage.put("v.mp4", b"video")
    storage.put("a.wav", b"audio")
    watcher.scan()
    assert drop.rows() == []
    monkeypatch.setattr(module, "RECHECK", timedelta(seconds=-1))
    watcher.scan()
    assert drop.ids() == ["v-a"]
    assert "jobs.error.json" not in drop.there()


def test_a_csv_with_new_inputs_under_the_same_names_is_another_batch(drop):
    drop.pair("clip01")
    drop.put("jobs.csv", body="video,audio\nclip01.mp4,clip01.wav\n")
    watcher = drop.watcher()
    watcher.scan()
    drop.put("clip01.wav", body="another voice")
    watcher.scan()
    assert drop.ids() == ["clip01-clip01", "clip01-clip01"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "jobs.csv is empty; its first line must be a header"),
        ("video,audio\n", "jobs.csv has a header and no rows"),
        ("video,sound\na.mp4,b.wav\n", "the header is wrong"),
        (b"video,audio\n\xff.mp4,b.wav\n", "jobs.csv is not UTF-8"),
    ],
)
def test_a_csv_that_cannot_be_read_says_why_by_its_own_name(drop, body, said):
    drop.put("jobs.csv", body=body)
    drop.watcher().scan()
    assert said in drop.told("jobs")[0][1]
    assert "/tmp" not in drop.told("jobs")[0][1]


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../inputs/secret.mp4", "a/../../b.mp4", "file:///etc/passwd"]
)
def test_a_dropped_csv_reads_nothing_of_this_machine_and_nothing_above_it(drop, name):
    drop.put("voice.wav")
    drop.put("jobs.csv", body=f"video,audio\n{name},voice.wav\n")
    drop.watcher().scan()
    codes = [code for code, _ in drop.told("jobs")]
    assert codes in (["bad_request", "bad_request"], ["bad_request", "source_unsupported"])
    assert drop.rows() == []


def test_a_local_file_of_the_watcher_is_none_beside_the_csv(drop, tmp_path, monkeypatch):
    (tmp_path / "mine.mp4").write_bytes(b"private")
    monkeypatch.chdir(tmp_path)
    drop.put("voice.wav")
    drop.put("jobs.csv", body="video,audio\nmine.mp4,voice.wav\n")
    drop.watcher().scan()
    assert drop.told("jobs")[1][0] == "input_not_found"
    assert list(drop.storage.list(keys.INPUTS)) == []


def test_a_huge_csv_is_refused_by_its_size(drop, monkeypatch):
    monkeypatch.setattr("producer.watch.tables.MAX_BYTES", 10)
    drop.put("jobs.csv", body="video,audio\na,b\n")
    drop.watcher().scan()
    assert drop.told("jobs")[0][1] == "jobs.csv has 16 bytes; a CSV has at most 10"


# --- where it looks


@pytest.mark.parametrize(
    "text", ["drop/", "s3://", "s3://bucket", "s3://bucket/", "s3:///drop", "https://b/drop"]
)
def test_what_is_no_folder_is_refused(text):
    with pytest.raises(Exception, match=r"is no drop folder; write s3://bucket/folder/"):
        Folder.parse(text, "bucket")


@pytest.mark.parametrize("name", keys.OURS)
def test_a_folder_of_dubline_s_own_is_refused_in_its_bucket_and_in_no_other(name):
    with pytest.raises(Exception, match="Dubline keeps its own objects there"):
        Folder.parse(f"s3://bucket/{name}", "bucket")
    assert Folder.parse(f"s3://other/{name}", "bucket").prefix == name


def test_a_folder_of_another_bucket_is_watched_too(drop, storage, settings, services):
    other = settings.s3_bucket.replace("test", "drop")
    storage._client.create_bucket(Bucket=other)
    for name in ("clip01.mp4", "clip01.wav"):
        storage.put(f"s3://{other}/in/deep/{name}", b"media")
    storage.put(f"s3://{other}/in/deep/half.mp4", b"media")
    try:
        drop.folder = Folder.parse(f"s3://{other}/in/deep", storage.bucket)
        drop.watcher().scan()
        late = drop.watcher(drop_single_seconds=1e-9)
        late.scan()
        ((batch, row),) = drop.rows()
        assert (batch.startswith("deep-"), row.job.video.uri) == (True, f"s3://{other}/in/deep/clip01.mp4")
    finally:
        for each in list(storage.list(f"s3://{other}/in/")):
            storage.delete(f"s3://{other}/{each.key}")
        storage._client.delete_bucket(Bucket=other)


def test_a_bucket_that_is_not_there_ends_the_watcher(drop):
    drop.folder = Folder.parse("s3://nowhere-at-all/drop/", "bucket")
    with pytest.raises((InputNotFound, ConfigurationError), match="nowhere-at-all"):
        drop.watcher().scan()


def test_an_outage_is_said_once_and_waited_for(drop, caplog, monkeypatch):
    drop.pair("clip01")
    watcher, stop, bell = drop.watcher(), threading.Event(), Doorbell(0.01)
    scan, outage = watcher.scan, [True, True, True]
    monkeypatch.setattr(watcher, "scan", lambda: outage.pop() and fail() if outage else scan())

    def seen(_):
        stop.set()

    def fail():
        raise StoreUnavailable("the store is away")

    caplog.set_level("INFO")
    watcher.run(stop, bell, seen)
    said = [each for each in caplog.messages if "the watcher" in each]
    assert said == ["the watcher waits: the store is away", "the watcher goes on"]
    assert drop.ids() == ["clip01"]


def test_a_watcher_that_is_stopped_ends_between_two_batches_and_the_next_takes_the_rest(drop, monkeypatch):
    monkeypatch.setattr("producer.watch.batching.BATCH_ROWS", 1)
    drop.pair("clip01", "clip02", "clip03")
    watcher, stop = drop.watcher(), threading.Event()
    note = watcher._note
    monkeypatch.setattr(watcher, "_note", lambda *words: [note(*words), stop.set()])
    watcher.run(stop, Doorbell(0.01), lambda scan: None)
    assert drop.ids() == ["clip01"]
    drop.watcher().scan()
    assert drop.ids() == ["clip01", "clip02", "clip03"]


def test_what_left_the_folder_is_forgotten(drop, storage):
    drop.pair("clip01", "clip02")
    drop.put("jobs.csv", body="video,audio\nx.mp4,x.wav\n")
    watcher = drop.watcher()
    watcher.scan()
    storage.delete_all([f"drop/{name}" for name in drop.there()])
    watcher.scan()
    assert (watcher._places, watcher._batches, watcher._refused, watcher._tables._named) == ({}, {}, {}, {})
