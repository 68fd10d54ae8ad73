"""The logs of one job: of attempts that ended from the bucket, of running and lost ones from what they told."""

import io
import json
import threading
import time

import pytest
from pydantic import SecretStr
from rich.console import Console

from contract import keys
from contract.errors import NotFound
from contract.ledger import Progress
from contract.livelog import LiveLog
from contract.workers import Roster, WorkerRecord
from producer import logs as module
from producer.closeup import logs_picture
from producer.logs import JobLog, chosen


def line(message, second, level="INFO", **more):
    told = {"time": f"2026-01-01T10:00:{second:02}.000+00:00", "level": level, "logger": "worker.tasks"}
    return json.dumps({**told, "message": message, **more}).encode()


@pytest.fixture
def job(rows):
    return rows[0].job.id


@pytest.fixture
def leave(storage, job):
    """Leave an attempt's log in the bucket, as a worker does at its end."""
    return lambda attempt, *lines: storage.put(keys.log(job, attempt), b"\n".join(lines) + b"\n")


@pytest.fixture
def live(settings):
    return LiveLog(settings)


@pytest.fixture
def look(settings, storage, submitted):
    return lambda row="one", **changes: JobLog(settings.model_copy(update=changes), submitted, row)


def said(attempts):
    return [(each.outcome, [json.loads(line)["message"] for line in each.lines]) for each in attempts]


def test_a_job_that_nobody_has_begun_has_no_attempts(look):
    assert look().attempts() == []


def test_attempts_come_whole_and_oldest_first(look, leave, commit, submitted, rows):
    many = [line(f"line {number}", 1, padding="x" * 100) for number in range(1000)]
    leave("zz", line("it begins", 0), *many, line("CUDA error", 2, "ERROR"))
    leave("a1", line("no face", 9, "WARNING"))
    commit(submitted, rows[0], "failed")
    first, last = look().attempts()
    assert (first.id, first.place, first.outcome, len(first.lines)) == ("zz", 1, "no result", 1002)
    assert (last.id, last.place, last.outcome, last.host) == ("a1", 2, "failed", "here")


def test_a_running_attempt_is_seen_before_it_leaves_anything(look, leave, live, ledger, job):
    leave("a1", line("engine failed", 1, "ERROR"))
    ledger.claim(job, "a2", 60)
    live.append(job, "a2", [line("attempt 2 begins", 5)])
    assert said(look().attempts()) == [("no result", ["engine failed"]), ("running", ["attempt 2 begins"])]


def test_of_an_attempt_that_was_never_heard_of_again_there_is_what_it_told(look, leave, live, ledger, job):
    live.append(job, "a1", [line("attempt 1 begins", 1)])
    leave("a2", line("attempt 2 begins", 5))
    assert said(look().attempts()) == [
        ("no result", ["attempt 1 begins"]),
        ("no result", ["attempt 2 begins"]),
    ]


def test_what_was_told_and_left_is_there_once_with_what_was_told_after(look, leave, live, job):
    live.append(job, "a1", [line("begins", 1), line("ends", 2), line("succeeded after 1 s", 3)])
    leave("a1", line("begins", 1), line("ends", 2))
    assert said(look().attempts()) == [("no result", ["begins", "ends", "succeeded after 1 s"])]


def test_an_attempt_that_left_no_log_is_named_all_the_same(look, commit, submitted, rows):
    commit(submitted, rows[0])
    attempts = look().attempts()
    assert said(attempts) == [("succeeded", [])]
    assert "left no log" in drawn(attempts)


def test_without_redis_what_has_ended_is_there(look, leave):
    leave("a1", line("engine failed", 1, "ERROR"))
    log = look(redis_url=SecretStr("redis://127.0.0.1:1/0"))
    assert said(log.attempts()) == [("no result", ["engine failed"])]
    assert not log.is_live


def test_a_job_that_only_its_worker_knows_is_found_by_its_first_digits(
    settings, storage, submitted, live, job
):
    with pytest.raises(NotFound):
        JobLog(settings, job[:8])
    Roster(settings).announce(
        WorkerRecord(name="w@h", host="h", doing="busy", batch=submitted, row="one", job=job, attempt="a1")
    )
    live.append(job, "a1", [line("attempt 1 begins", 1)])
    assert JobLog(settings, job[:8]).job == job
    with pytest.raises(NotFound):
        JobLog(settings, "ffffffff" if not job.startswith("f") else "00000000")


@pytest.mark.parametrize("which", ["2", "bb"])
def test_one_attempt_is_chosen_by_its_place_or_its_id(look, leave, job, which):
    leave("aa", line("one", 1))
    leave("bb", line("two", 2))
    assert [each.id for each in chosen(look().attempts(), which, job)] == ["bb"]


@pytest.mark.parametrize(
    ("count", "remedy"), [(0, "no attempt at it has begun"), (2, "its attempts are 1 to 2")]
)
def test_an_attempt_that_is_not_there_is_told(look, leave, job, count, remedy):
    for number in range(count):
        leave(f"a{number}", line("one", number))
    with pytest.raises(NotFound, match=remedy):
        chosen(look().attempts(), "7", job)


# --- following


def test_following_gives_each_line_once_across_attempts_and_ends_with_the_job(
    look, leave, live, ledger, job, rows, commit, submitted, monkeypatch
):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    began = threading.Event()

    def work():
        began.wait(10)
        live.append(job, "a1", [line("a1 goes on", 2)])
        time.sleep(0.3)
        leave("a1", line("a1 begins", 1), line("a1 goes on", 2), line("a1 failed", 3, "WARNING"))
        ledger.release(job, "a1")
        ledger.claim(job, "a2", 60)
        live.append(job, "a2", [line("a2 begins", 4)])
        time.sleep(0.3)
        leave("a2", line("a2 begins", 4), line("a2 ends", 5))
        commit(submitted, rows[0], attempt="a2")
        ledger.finish(job, "done")

    ledger.claim(job, "a1", 60)
    live.append(job, "a1", [line("a1 begins", 1)])
    worker = threading.Thread(target=work)
    worker.start()
    messages = []
    for each in look().follow():
        messages.append((each.attempt.place, each.line.message))
        began.set()
    worker.join()
    assert messages == [
        (1, "a1 begins"),
        (1, "a1 goes on"),
        (1, "a1 failed"),
        (2, "a2 begins"),
        (2, "a2 ends"),
    ]


def test_an_attempt_that_ends_while_its_job_is_looked_at_is_told_before_the_next_one(
    look, leave, live, ledger, job, rows, commit, submitted, monkeypatch
):
    """Whatever happens between the looks at Redis and at the bucket, the order of time holds."""
    monkeypatch.setattr(module, "POLL_SECONDS", 0.05)
    ledger.claim(job, "a1", 60)
    live.append(job, "a1", [line("a1 begins", 1)])
    seen = look()
    look_up = module.look_up

    def then_it_goes_on(*named):
        view = look_up(*named)
        if not went_on:
            went_on.append(True)
            leave("a1", line("a1 begins", 1), line("a1 failed", 2, "WARNING"))
            ledger.release(job, "a1")
            ledger.claim(job, "a2", 60)
            live.append(job, "a2", [line("a2 begins", 3)])
            commit(submitted, rows[0], attempt="a2")
            ledger.finish(job, "done")
        return view

    went_on: list[bool] = []
    monkeypatch.setattr(module, "look_up", then_it_goes_on)
    assert [each.line.message for each in seen.follow()] == ["a1 begins", "a1 failed", "a2 begins"]


def test_following_a_job_that_has_ended_ends_at_once(look, leave, rows, commit, submitted):
    leave("a1", line("begins", 1))
    commit(submitted, rows[0])
    assert [each.line.message for each in look().follow()] == ["begins"]


# --- for people and for scripts


def drawn(attempts, width=80):
    console = Console(file=io.StringIO(), width=width)
    console.print(logs_picture(attempts), soft_wrap=True)
    return console.file.getvalue()


def test_a_person_sees_headings_levels_and_tracebacks(look, leave):
    trace = "Traceback (most recent call last):\n  File x\nValueError: a defect"
    leave("a1", line("attempt 1 begins", 1), line("it broke", 2, "ERROR", traceback=trace))
    assert drawn(look().attempts()).splitlines() == [
        "attempt 1  no result  a1  2026-01-01 10:00:01 UTC",
        "10:00:01  INFO    attempt 1 begins",
        "10:00:02  ERROR   it broke",
        "                  Traceback (most recent call last):",
        "                    File x",
        "                  ValueError: a defect",
    ]


def test_words_of_strangers_are_no_markup_and_move_no_cursor(look, leave):
    leave("a1", line("[red]no[/red] \x1b[2Jframe\x07 Zoë 你", 1), b"not of ours")
    text = drawn(look().attempts())
    assert "[red]no[/red] \ufffd[2Jframe\ufffd Zoë 你" in text
    assert "not of ours" in text
    assert "\x1b" not in text


def test_the_command_shows_all_attempts_or_one(dubline, here, submitted, leave, ledger):
    leave("a1", line("first", 1))
    leave("a2", line("second", 2))
    shown = dubline("logs", submitted, "one")
    assert shown.exit_code == 0
    assert shown.stdout.index("first") < shown.stdout.index("second")
    assert "first" not in dubline("logs", submitted, "one", "--attempt", "2").stdout
    assert dubline("logs", submitted, "two").stdout == "nothing is logged yet: no attempt has begun\n"
    wrong = dubline("logs", submitted, "one", "--attempt", "9")
    assert (wrong.exit_code, "its attempts are 1 to 2" in wrong.stderr) == (2, True)
    both = dubline("logs", submitted, "one", "--attempt", "1", "--follow")
    assert (both.exit_code, "leave --attempt out" in both.stderr) == (2, True)


def test_a_script_reads_one_object_a_line(dubline, here, submitted, leave, ledger, job, commit, rows):
    leave("a1", line("first", 1, "WARNING"))
    commit(submitted, rows[0])
    ledger.finish(job, "done")
    for words in ((), ("--follow",)):
        (told,) = map(json.loads, dubline("logs", job[:8], "--json", *words).stdout.splitlines())
        assert told == {
            "attempt": "a1",
            "place": 1,
            "outcome": "succeeded",
            "host": "here",
            "time": "2026-01-01T10:00:01.000+00:00",
            "level": "WARNING",
            "logger": "worker.tasks",
            "message": "first",
            "traceback": "",
        }


def test_following_a_person_sees_one_heading_an_attempt(dubline, here, submitted, leave, commit, rows):
    leave("a1", line("first", 1), line("second", 2))
    commit(submitted, rows[0])
    shown = dubline("logs", submitted, "one", "--follow").stdout
    assert shown.count("attempt 1  succeeded") == 1
    assert shown.splitlines()[1:] == ["10:00:01  INFO    first", "10:00:02  INFO    second"]


def test_without_redis_the_command_says_what_is_missing(dubline, here, submitted, leave, monkeypatch):
    leave("a1", line("first", 1))
    monkeypatch.setenv("DUBLINE_REDIS_URL", "redis://127.0.0.1:1/0")
    shown = dubline("logs", submitted, "one")
    assert (shown.exit_code, "first" in shown.stdout) == (0, True)
    assert "Redis is away" in shown.stderr


def test_a_job_that_is_held_and_has_logged_nothing_has_no_attempts_to_show(look, ledger, job):
    ledger.claim(job, "a1", 60)
    ledger.beat(job, "a1", 60, "tag", Progress("generating", 1, 2, 3.0))
    assert look().attempts() == []
