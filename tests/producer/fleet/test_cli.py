"""`dubline fleet`: what it refuses, in one line each, and what it tells."""

import json

import pytest

from contract.errors import BadRequest
from contract.metrics import FleetMetrics
from producer.fleet import cli, report
from producer.fleet.fleet import Change, Standing
from producer.fleet.policy import Load, Member

NOWHERE = ("--host", "tcp://127.0.0.1:1", "--network", "host")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--min", "-1"), 2, "Invalid value for '--min'"),
        (
            ("--gpus", "many"),
            2,
            "error [bad_request]: --gpus is many; it must be auto or a number from 0 to 64",
        ),
        (("--gpus", "-1"), 2, "error [bad_request]: --gpus is -1; it must be auto or a number from 0 to 64"),
        (
            ("--within", "soon"),
            2,
            "error [bad_request]: --within is soon; it must be more than 0, as 90, 90s, 15m or 2h",
        ),
        (
            ("--idle", "0"),
            2,
            "error [bad_request]: --idle is 0; it must be more than 0, as 90, 90s, 15m or 2h",
        ),
        (
            ("--min", "3", "--max", "2"),
            2,
            "error [bad_request]: --min is 3 and --max is 2; --min must not be more",
        ),
        (
            ("--name", "My Fleet"),
            2,
            "error [bad_request]: --name is 'My Fleet'; it must be of a-z, 0-9 and -",
        ),
        ((), 1, "error [configuration]: the container engine of tcp://127.0.0.1:1 does not answer"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(dubline, here, words, code, said):
    pytest.importorskip("docker", reason="Docker's SDK is not installed")
    shown = dubline("fleet", *NOWHERE, *words)
    assert (shown.exit_code, shown.stdout) == (code, "")
    assert said in shown.stderr
    assert said.startswith("Invalid") or len(shown.stderr.splitlines()) == 1


def test_without_the_sdk_it_says_what_to_install(dubline, here, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda name: None)
    shown = dubline("fleet", *NOWHERE)
    assert shown.stderr.strip() == (
        "error [configuration]: `dubline fleet` needs Docker's SDK: pip install 'dubline[fleet]'"
    )


@pytest.mark.parametrize(
    ("minimum", "maximum", "slots", "limits"),
    [(0, None, 4, (0, 4)), (1, 2, 4, (1, 2)), (0, 9, 4, (0, 4)), (0, 0, 0, (0, 0)), (4, None, 4, (4, 4))],
)
def test_there_are_never_more_workers_than_slots(minimum, maximum, slots, limits):
    rules = cli.with_maximum(cli.Rules(minimum, 0, 900, 300, 60), maximum, slots)
    assert (rules.minimum, rules.maximum) == limits


def test_more_workers_than_there_are_slots_for_cannot_be_kept():
    with pytest.raises(BadRequest, match=r"--min is 5, and the hosts have slots for 4; name more hosts"):
        cli.with_maximum(cli.Rules(5, 0, 900, 300, 60), None, 4)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1.5h", 5400), ("0.5", 0.5), (" 2 m ", 120)]
)
def test_durations_are_read_as_people_write_them(text, seconds):
    assert cli.seconds_of("within", text) == seconds


@pytest.mark.parametrize("text", ["", "0s", "-5m", "1d", "nan", "inf", "1m30s", "1e9", "٣m "])
def test_what_is_no_duration_is_said(text):
    with pytest.raises(BadRequest, match=r"--within is .*as 90, 90s, 15m or 2h"):
        cli.seconds_of("within", text)


@pytest.mark.parametrize(
    ("options", "exit_code", "said"),
    [
        (
            ("--image", "nobody/has:this", "--gpus", "0"),
            1,
            "has no image nobody/has:this; `docker pull` or build it there",
        ),
        (("--gpus", "0", "--min", "2"), 2, "--min is 2, and the hosts have slots for 1;"),
        (("--gpus", "auto"), 1, "has no GPU to give"),
    ],
)
def test_what_an_engine_cannot_do_is_said_before_anything_starts(
    dubline, here, host, image, options, exit_code, said
):
    name = image("/bin/sh")
    shown = dubline("fleet", "--network", "host", "--name", host._fleet, "--image", name, "--once", *options)
    assert (shown.exit_code, shown.stdout, len(shown.stderr.splitlines())) == (exit_code, "", 1)
    assert said in shown.stderr
    assert host.look().containers == ()


def test_one_look_at_nothing_tells_how_it_stands(dubline, here, host, image):
    words = ("--network", "host", "--name", host._fleet, "--image", image("/bin/sh"), "--gpus", "0", "--once")
    assert dubline("fleet", *words).stdout == "0 workers · 0 jobs to do · 22.0 s a job (assumed)\n"
    told = json.loads(dubline("fleet", *words, "--json").stdout)["standing"]
    assert (told["workers"], told["jobs"], told["done_in_seconds"]) == ([], 0, 0.0)


# --- what is told

LOAD = Load(jobs=17, oldest_seconds=3.0, seconds_per_job=12.0, jobs_per_hour=600.0)
BUSY, IDLE = Member("worker@a", "busy", 4), Member("worker@b", "idle", 9)


def test_how_it_stands_is_one_line():
    standing = Standing((), LOAD, (BUSY, BUSY, IDLE))
    assert report.standing_text(standing).plain == (
        "3 workers (2 busy, 1 idle) · 17 jobs to do · 12.0 s a job · 600 jobs an hour · done in 1:08"
    )
    nobody = Standing((), LOAD, (Member("worker@a", "leaving"),))
    assert report.standing_text(nobody).plain.endswith(" · nobody is at it")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change("started", "ssh://gpu2", "gpu0", "worker@a"), "started gpu0 of ssh://gpu2 worker@a"),
        (Change("away", "ssh://gpu2", note="it does not answer"), "away ssh://gpu2: it does not answer"),
        (
            Change("crash loop", "here", "gpu0", "worker@a", "exit code 1", ("one", "two")),
            "crash loop gpu0 of here worker@a: exit code 1\n    one\n    two",
        ),
    ],
)
def test_a_change_is_a_line_and_a_crash_loop_shows_the_end_of_the_log(change, said):
    assert report.change_text(change).plain == said


def test_how_it_stands_is_told_when_it_has_changed_and_not_too_often(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(report.time, "monotonic", lambda: now[0])
    telling = report.Report(True, FleetMetrics())
    for at, members in ((0, (BUSY,)), (2, (IDLE,)), (4, (BUSY,)), (12, (IDLE,)), (40, (IDLE,))):
        now[0] = at
        telling.tell(Standing((), LOAD, members))
    states = [
        json.loads(each)["standing"]["workers"][0]["state"] for each in capsys.readouterr().out.splitlines()
    ]
    assert states == ["busy", "idle"]
    telling.tell(Standing((Change("stopped", "here", "gpu0"),), LOAD, ()))
    assert [next(iter(json.loads(each))) for each in capsys.readouterr().out.splitlines()] == [
        "change",
        "standing",
    ]


def test_an_outage_is_said_once_until_it_is_over(capsys):
    telling = report.Report(True, FleetMetrics())
    for _ in range(3):
        telling.waits("Redis does not serve")
    telling.tell(Standing((), LOAD, ()))
    telling.waits("Redis does not serve")
    assert capsys.readouterr().err == "the fleet waits: Redis does not serve\n" * 2
