"""Every bad input of a CSV: its line, its words, its code; and what is fine."""

import os

import pytest

from contract.errors import BadRequest, ConfigurationError, InputNotFound
from contract.job import JobOptions
from contract.settings import Settings
from producer.pairs import read_pairs
from producer.table import COLUMNS

HEADER = "id,video,audio\n"
V, A = "s3://bkt/v.mp4", "s3://bkt/a.wav"


@pytest.fixture
def read(tmp_path):
    """Read a CSV of that text, beside a video and an audio file."""
    (tmp_path / "v.mp4").write_bytes(b"video")
    (tmp_path / "a.wav").write_bytes(b"audio")

    def read(text, **settings):
        path = tmp_path / "jobs.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_pairs(path, Settings(**settings))

    return read


def test_a_row_becomes_a_pair_with_the_defaults_of_the_contract(read):
    (pair,) = read(f"{HEADER}one,{V},{A}\n").pairs
    assert (pair.line, pair.id, pair.video, pair.audio, pair.priority) == (2, "one", V, A, "normal")
    assert pair.options == JobOptions()


def test_local_paths_are_relative_to_the_csv(read, tmp_path):
    (pair,) = read(f"{HEADER}one,v.mp4,./a.wav\n").pairs
    assert (pair.video, pair.audio) == (tmp_path / "v.mp4", tmp_path / "a.wav")


def test_every_option_is_read(read):
    (pair,) = read(
        f"{','.join(COLUMNS)}\none,{V},{A},preview,cut,2,0.5,9,-3,20,raw,dwpose,bisenet,yes,high\n",
    ).pairs
    assert pair.options == JobOptions(
        sync_mode="cut",
        face=2,
        start=0.5,
        end=9,
        bbox_shift=-3,
        extra_margin=20,
        parsing_mode="raw",
        landmarks="dwpose",
        mask="bisenet",
        evaluate=True,
    )
    assert pair.priority == "high"


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("byte order mark", "\ufeff" + HEADER + f"é,{V},{A}\n"),
        ("CRLF", f"id,video,audio\r\né,{V},{A}\r\n"),
        ("quotes", f'"id","video","audio"\n"é","{V}","{A}"\n'),
        ("empty lines and lines of commas", f"\n{HEADER}\n   \n,,\né,{V},{A}\n,,,,\n\n"),
        ("no newline at the end", f"{HEADER}é,{V},{A}"),
        ("blanks around cells", f"id, video ,audio\n é , {V},{A}\t\n"),
        ("capitals in the header", f"ID,Video,AUDIO\né,{V},{A}\n"),
        ("another order", f"audio,id,video\n{A},é,{V}\n"),
        ("semicolons", f"id;video;audio\né;{V};{A}\n"),
        ("tabs", f"id\tvideo\taudio\né\t{V}\t{A}\n"),
        ("more commas than columns, with nothing between them", f"{HEADER}é,{V},{A},,,\n"),
        ("fewer cells than columns", f"id,video,audio,start,end\né,{V},{A}\n"),
    ],
)
def test_a_csv_may_come_from_any_spreadsheet(read, what, text):
    reading = read(text)
    assert not reading.faults
    assert [(pair.id, pair.video, pair.audio) for pair in reading.pairs] == [("é", V, A)]


def test_names_may_hold_blanks_commas_and_any_letters(read, tmp_path):
    (tmp_path / "Gruß, 你好 .mp4").write_bytes(b"video")
    (pair,) = read(f'{HEADER}"Gruß, 你好","Gruß, 你好 .mp4",s3://bkt/über uns/a.wav\n').pairs
    assert pair.id == "Gruß, 你好"
    assert pair.video.is_file()


@pytest.mark.parametrize("text", [f"video,audio\n{V},{A}\n", f"{HEADER},{V},{A}\n"])
def test_a_missing_id_comes_from_the_two_stems(read, text):
    assert [pair.id for pair in read(text).pairs] == ["v-a"]


def test_rows_without_an_engine_get_the_engine_of_the_settings(read):
    assert read(f"{HEADER}one,{V},{A}\n", engine="preview").pairs[0].options.engine == "preview"


def test_a_quoted_newline_does_not_shift_the_lines_of_later_faults(read):
    reading = read(f'id,video,audio\n\n"two\nlines",{V},{A}\nlate,,{A}\n')
    assert [str(fault) for fault in reading.faults] == [
        r"line 3: id 'two\nlines' must be 1 to 200 characters without slashes and control characters",
        "line 5: video is empty",
    ]


CELLS = [
    ("one,,", ["video is empty", "audio is empty"], "bad_request"),
    (
        f"one,missing.mp4,{A}",
        ["video missing.mp4 does not exist; paths are relative to the CSV"],
        "input_not_found",
    ),
    (f"one,v.mp4/x,{A}", ["video v.mp4/x does not exist; paths are relative to the CSV"], "input_not_found"),
    (f"one,empty.mp4,{A}", ["video empty.mp4 is empty (0 bytes); was it copied completely?"], "input_empty"),
    (f"one,folder,{A}", ["video folder is a folder; name a media file"], "bad_request"),
    (f"one,/dev/null,{A}", ["video /dev/null is not a regular file; name a media file"], "bad_request"),
    (f"one,circle,{A}", ["video circle cannot be read: Too many levels of symbolic links"], "bad_request"),
    (f"one,v.mp4,{'a' * 300}", [f"audio {'a' * 300} cannot be read: File name too long"], "bad_request"),
    (
        f"one,http://host/v.mp4?hunter2,{A}",
        ["video is an http:// URL; write https://, or set allow_http"],
        "bad_request",
    ),
    (
        f"one,https://ann:hunter2@host/v.mp4,{A}",
        ["video is a URL with a user or a password; give it out as a signed URL instead"],
        "bad_request",
    ),
    (
        f"one,https://host:8443/v.mp4,{A}",
        ["video is a URL with port 8443; only 443 and 80 are reached"],
        "bad_request",
    ),
    (
        f"one,{V},https://127.1/a.wav?hunter2",
        ["audio is a URL of an address that is not public; inside addresses are never reached"],
        "bad_request",
    ),
    (
        f"one,https://host/v\x07.mp4?hunter2,{A}",
        ["video is a URL with a blank, a backslash or a control character; percent-encode it"],
        "bad_request",
    ),
    (
        f"one,https://host/{'v' * 9000}.mp4,{A}",
        ["video is a URL of more than 8,192 bytes"],
        "bad_request",
    ),
    (
        f"one,{V},file:///a.wav",
        ["audio file:///a.wav: file:// is not supported; write a path, s3://bucket/key or https://host/path"],
        "source_unsupported",
    ),
    (
        f"one,{V},S3://in/a.wav",
        ["audio S3://in/a.wav: S3:// is not supported; write a path, s3://bucket/key or https://host/path"],
        None,
    ),
    (f"one,s3://bkt,{A}", ["video s3://bkt names no object; write s3://bucket/key"], "bad_request"),
    (
        f"one,s3://bkt/folder/,{A}",
        ["video s3://bkt/folder/ names no object; write s3://bucket/key"],
        "bad_request",
    ),
    (
        f"one,s3:///v.mp4,{A}",
        ["video s3:///v.mp4: '' is not the name of a bucket; write s3://bucket/key"],
        "bad_request",
    ),
    (
        f"one,s3://b ad/v.mp4,{A}",
        ["video s3://b ad/v.mp4: 'b ad' is not the name of a bucket; write s3://bucket/key"],
        None,
    ),
    (f"one,v\x00.mp4,{A}", [r"video 'v\x00.mp4' contains a control character"], "bad_request"),
    (
        f"a/b,{V},{A}",
        ["id 'a/b' must be 1 to 200 characters without slashes and control characters"],
        "bad_request",
    ),
    (f"{'ü' * 101},{V},{A}", [f"id '{'ü' * 101}' is longer than 200 bytes in UTF-8"], "bad_request"),
    (
        f"one,{V},{A},more",
        ['has 4 cells where the header has 3; write a cell that contains "," in double quotes'],
        "bad_request",
    ),
    (
        f'one,"v"x,{A}',
        ["the double quotes do not match (',' expected after '\"'); write \" inside a quoted cell as \"\""],
        "bad_request",
    ),
    (
        f'one,"v,{A}',
        ['the double quotes do not match (unexpected end of data); write " inside a quoted cell as ""'],
        "bad_request",
    ),
]


@pytest.mark.parametrize(("row", "messages", "code"), CELLS, ids=[row[:30] for row, _, _ in CELLS])
def test_a_bad_row_is_named_with_its_line_and_its_words(read, tmp_path, row, messages, code):
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "circle").symlink_to("circle")
    reading = read(f"{HEADER}\ngood,{V},{A}\n{row}\n")
    assert [(fault.line, fault.message) for fault in reading.faults] == [(4, each) for each in messages]
    assert code is None or {fault.code for fault in reading.faults} == {code}
    assert [pair.id for pair in reading.pairs] == ["good"]


OPTIONS = [
    (
        "engine",
        "wav2lop",
        "engine is 'wav2lop'; it must be preview, musetalk-v15 or musetalk-v1 in this version",
    ),
    ("sync_mode", "bounc", "sync_mode is 'bounc'; it must be bounce, loop, cut, freeze or silence"),
    ("face", "up", "face is 'up'; it must be largest, left, right or a whole number from 0 to 99"),
    ("face", "100", "face is '100'; it must be largest, left, right or a whole number from 0 to 99"),
    ("start", "-1", "start is '-1'; it must be a number, at least 0"),
    ("start", "nan", "start is 'nan'; it must be a number, at least 0"),
    ("start", "1:30", "start is '1:30'; it must be a number, at least 0"),
    ("end", "0", "end is '0'; it must be a number greater than 0 or empty"),
    ("end", "inf", "end is 'inf'; it must be a number greater than 0 or empty"),
    ("bbox_shift", "1.5", "bbox_shift is '1.5'; it must be a whole number from -100 to 100"),
    ("extra_margin", "201", "extra_margin is '201'; it must be a whole number from 0 to 200"),
    ("parsing_mode", "Jaw", "parsing_mode is 'Jaw'; it must be jaw or raw"),
    ("priority", "urgent", "priority is 'urgent'; it must be low, normal or high"),
    *(
        (
            "time_limit",
            cell,
            f"time_limit is '{cell}'; it must be minutes, a number greater than 0 and at most 1440",
        )
        for cell in ("0", "-5", "1441", "nan", "inf", "1h", "1:30")
    ),
]


@pytest.mark.parametrize(("column", "cell", "message"), OPTIONS)
def test_a_wrong_option_is_told_in_words_with_what_it_may_be(read, column, cell, message):
    reading = read(f"{HEADER.strip()},{column}\none,{V},{A},{cell}\n")
    assert [str(fault) for fault in reading.faults] == [f"line 2: {message}"]


def test_an_end_before_its_start_is_refused(read):
    reading = read(f"id,video,audio,start,end\none,{V},{A},3,3\n")
    assert [str(fault) for fault in reading.faults] == ["line 2: end (3) must be greater than start (3)"]


def test_a_url_is_an_input_and_no_object_of_the_store(read):
    reading = read(
        f"id,video,audio\n,HTTPS://host/face.mp4?sig=hunter2,https://host/voice.wav\ntwo,{V},{A}\n"
    )
    assert reading.faults == []
    (first, _) = reading.pairs
    assert (first.video, first.audio) == ("https://host/face.mp4?sig=hunter2", "https://host/voice.wav")
    assert first.id == "face-voice"
    assert {each.line for each in reading.mentions()} == {3}


def test_all_faults_of_all_rows_are_reported_at_once(read):
    reading = read(f"id,video,audio,start,face\na/b,gone.mp4,http://x/a.wav,-1,up\n,{V},,,\nb,{V},{A},x,\n")
    assert [fault.line for fault in reading.faults] == [2, 2, 2, 2, 2, 3, 4]


@pytest.mark.parametrize(
    ("first", "second"),
    [("one", "one"), ("One", "oNE"), ("Ünder", "ünder"), ("caf\u00e9", "cafe\u0301"), ("", "v-a")],
)
def test_two_rows_that_write_one_output_are_refused_also_on_disks_blind_to_case(read, first, second):
    reading = read(f"{HEADER}\n{first},{V},{A}\n{second},{V},{A}\n")
    (fault,) = reading.faults
    assert fault.line == 4
    assert fault.message.endswith("writes the same output as line 3; give each row its own id")


def test_a_file_that_may_not_be_read_is_refused(read, tmp_path, monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda path, mode: not str(path).endswith("v.mp4")
    )  # root reads everything
    (fault,) = read(f"{HEADER}one,v.mp4,a.wav\n").faults
    assert (fault.code, fault.message) == (
        "input_forbidden",
        "video v.mp4 may not be read by this user; see its permissions",
    )


def test_a_local_file_over_the_limit_is_refused_before_it_is_uploaded(read):
    (fault,) = read(f"{HEADER}one,v.mp4,{A}\n", max_input_bytes=4).faults
    assert (fault.code, fault.message) == (
        "input_too_large",
        "video v.mp4 has 5 bytes; the limit is 4 (max_input_bytes)",
    )


FILES = [
    ("", "jobs.csv is empty; its first line must be a header such as id,video,audio", []),
    ("\n\n", "jobs.csv is empty; its first line must be a header such as id,video,audio", []),
    (HEADER, "jobs.csv has a header and no rows", []),
    (f"\n{V},{A}\n", "there is no header", ["line 2: must name the columns, for instance: id,video,audio"]),
    ("id,video\n", "the header is wrong", ["line 1: column 'audio' is missing"]),
    (
        "id,vidoe,audio,speed\n",
        "the header is wrong",
        [
            "line 1: column 'video' is missing",
            "line 1: column 'vidoe' is unknown; did you mean 'video'?",
            f"line 1: column 'speed' is unknown; the columns are {', '.join(COLUMNS)}",
        ],
    ),
    ("id,video,audio,\n", "the header is wrong", ["line 1: a column has no name; name it or remove it"]),
    ("id,video,audio,Video\n", "the header is wrong", ["line 1: column 'video' appears twice"]),
    (
        f"{HEADER}one,{V},caf\xe9.wav\n".encode("latin-1"),
        "is not UTF-8",
        ['line 2: byte 0xe9 is not UTF-8; save it as "CSV UTF-8", or convert it with iconv -t UTF-8'],
    ),
    (f"{HEADER}one,{V},{A}\n".encode("utf-16"), "is UTF-16, not UTF-8; save it as", []),
    (f'id,"video,audio\none,{V},{A}\n', "the header is wrong", ["line 1: the double quotes do not match"]),
]


@pytest.mark.parametrize(("text", "message", "faults"), FILES)
def test_a_file_that_is_no_csv_of_pairs_is_refused_as_a_whole(read, text, message, faults):
    with pytest.raises(BadRequest) as caught:
        read(text)
    assert message in caught.value.message
    assert len(caught.value.faults) == len(faults)
    for fault, expected in zip(caught.value.faults, faults, strict=True):
        assert str(fault).startswith(expected)


def test_a_csv_that_is_not_there_or_a_folder_is_refused(tmp_path):
    with pytest.raises(InputNotFound, match=r"no\.csv does not exist"):
        read_pairs(tmp_path / "no.csv", Settings())
    with pytest.raises(BadRequest, match="cannot be read as a CSV: Is a directory"):
        read_pairs(tmp_path, Settings())


def test_addresses_of_faulty_rows_are_remembered_for_they_may_hold_another_fault(read):
    reading = read(f"{HEADER}one,{V},{A}\ntwo,s3://bkt/w.mp4,\n")
    assert [(each.line, each.column, each.address) for each in reading.mentions()] == [
        (2, "video", V),
        (2, "audio", A),
        (3, "video", "s3://bkt/w.mp4"),
    ]


def test_an_id_is_not_made_of_cells_that_mean_nothing(read):
    reading = read(f"{HEADER},,\n,gone.mp4,\n,gone.mp4,\n")
    assert [fault.message.split()[0] for fault in reading.faults] == ["video", "audio", "video", "audio"]


@pytest.mark.parametrize(("cell", "seconds"), [("", None), ("90", 5400.0), ("0.5", 30.0), ("1440", 86400.0)])
def test_a_time_limit_is_written_in_minutes(read, cell, seconds):
    reading = read(f"{HEADER.strip()},time_limit\none,{V},{A},{cell}\n")
    assert [pair.time_limit_seconds for pair in reading.pairs] == [seconds]


SIGNING = Settings(webhook_secret="whsec_" + "QUJD" * 8)


def test_a_row_may_name_who_is_told_of_its_end(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text(f"id,video,audio,webhook_url\none,{V},{A},https://host/hook?key=x\ntwo,{V},{A},\n")
    reading = read_pairs(path, SIGNING)
    assert [pair.webhook_url for pair in reading.pairs] == ["https://host/hook?key=x", None]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("host/hook", "webhook_url is not an https:// URL"),
        ("s3://bucket/key", "webhook_url is not an https:// URL"),
        ("http://host/hook?hunter2", "webhook_url is an http:// URL; write https://, or set allow_http"),
        (
            "https://ann:hunter2@host/",
            "webhook_url is a URL with a user or a password; give it out as a signed URL instead",
        ),
        ("https://host:8080/", "webhook_url is a URL with port 8080; only 443 and 80 are reached"),
        (
            "https://169.254.169.254/hunter2",
            "webhook_url is a URL of an address that is not public; inside addresses are never reached",
        ),
    ],
)
def test_a_webhook_that_could_not_be_posted_to_is_a_fault(tmp_path, cell, said):
    path = tmp_path / "jobs.csv"
    path.write_text(f"id,video,audio,webhook_url\none,{V},{A},{cell}\n")
    assert [str(fault) for fault in read_pairs(path, SIGNING).faults] == [f"line 2: {said}"]


def test_without_a_secret_to_sign_with_webhooks_are_refused_in_one_sentence(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text(f"id,video,audio,webhook_url\none,{V},{A},https://host/hook\n")
    with pytest.raises(ConfigurationError, match="DUBLINE_WEBHOOK_SECRET"):
        read_pairs(path, Settings())
