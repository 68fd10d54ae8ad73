"""The commands as a person and as a script meet them."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from contract import keys
from contract.ledger import Progress
from contract.settings import Settings
from contract.webhook import Reply, WebhookDelivery
from producer import status
from producer.batches import batch_rows
from producer.cli import _addresses
from producer.outbox import Outbox
from producer.overview import Overview


def test_without_arguments_it_says_what_it_can(dubline):
    shown = dubline()
    for command in ("submit", "status", "results", "up", "feeder", "demo", "doctor", "render"):
        assert f" {command} " in shown.output


def test_a_submitted_csv_is_named_and_again_it_is_not_repeated(dubline, here, jobs):
    first, again = dubline("submit", jobs), dubline("submit", jobs)
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert first.stdout.splitlines()[0].endswith(": 2 rows submitted")
    assert first.stdout.splitlines()[1] == "3 files uploaded, 0.0 MB"
    assert again.stdout.strip().endswith(": already submitted, nothing repeated")


def test_a_script_reads_what_became_of_a_submission(dubline, here, jobs):
    told = json.loads(dubline("submit", jobs, "--batch", "nightly", "--json").stdout)
    assert (told["batch"], told["rows"], told["already"]) == ("nightly", 2, False)


def test_bad_rows_are_listed_with_their_lines_and_exit_2(dubline, here, jobs):
    jobs.write_text(jobs.read_text() + "three,gone.mp4,bye.wav\nfour,face.MP4,\n")
    shown = dubline("submit", jobs)
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.splitlines() == [
        "error [bad_request]: 2 of 4 rows cannot become jobs; correct them, or submit the others with --skip-bad",
        "  line 4: video gone.mp4 does not exist; paths are relative to the CSV",
        "  line 5: audio is empty",
    ]


def test_a_script_reads_bad_rows_too(dubline, here, jobs):
    jobs.write_text(jobs.read_text() + "three,gone.mp4,bye.wav\n")
    shown = dubline("submit", jobs, "--json")
    assert json.loads(shown.stdout)["error"]["faults"] == [
        {
            "line": 4,
            "code": "input_not_found",
            "message": "video gone.mp4 does not exist; paths are relative to the CSV",
        }
    ]


def test_skipped_rows_are_listed_and_exit_0(dubline, here, jobs):
    jobs.write_text(jobs.read_text() + "three,gone.mp4,bye.wav\n")
    shown = dubline("submit", jobs, "--skip-bad")
    assert shown.exit_code == 0
    assert "skipped line 4: video gone.mp4 does not exist; paths are relative to the CSV" in shown.stdout


def test_a_dry_run_estimates_and_puts_nothing(dubline, here, jobs, storage):
    shown = dubline("submit", jobs, "--dry-run")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("2 jobs would be submitted; nothing was uploaded\n")
    assert "2 jobs: length unknown" in shown.stdout
    assert not list(storage.list(""))
    assert json.loads(dubline("submit", jobs, "--dry-run", "--json").stdout)["unknown_rows"] == 2


def test_a_dry_run_refuses_bad_rows_as_the_real_one_does(dubline, here, jobs):
    jobs.write_text(jobs.read_text() + "three,gone.mp4,bye.wav\n")
    assert dubline("submit", jobs, "--dry-run").exit_code == 2
    assert dubline("submit", jobs, "--dry-run", "--skip-bad").exit_code == 0


def test_above_the_pin_limit_one_line_says_that_keys_are_the_identity(dubline, here, tmp_path, monkeypatch):
    monkeypatch.setenv("DUBLINE_PIN_LIMIT", "1")
    (tmp_path / "jobs.csv").write_text("video,audio\ns3://bkt/v.mp4,s3://bkt/a.wav\n")
    shown = dubline("submit", tmp_path / "jobs.csv")
    assert "too many stored inputs to look at each (pin_limit)" in shown.stdout


def test_waiting_ends_with_the_batch_and_tells_failure_by_its_exit_code(
    dubline, here, jobs, storage, commit, monkeypatch
):
    monkeypatch.setattr(status, "SEARCH_SECONDS", 0.1)

    def work():
        while not (batches := list(storage.folders("batches/"))):
            time.sleep(0.05)
        one, two = batch_rows(storage, batches[0])
        commit(batches[0], one)
        commit(batches[0], two, "failed")

    worker = threading.Thread(target=work)
    worker.start()
    shown = dubline("submit", jobs, "--batch", "nightly", "--wait", "--json")
    worker.join()
    assert shown.exit_code == 1
    assert json.loads(shown.stdout)["counts"] == {"done": 1, "failed": 1}
    assert "two: failed [no_face]" in shown.stderr


def test_status_shows_each_row_and_each_batch(dubline, here, storage, submitted, ledger):
    one, _ = batch_rows(storage, submitted)
    ledger.claim(one.job.id, "me", 60)
    ledger.beat(one.job.id, "me", 60, "tag", Progress("generating", 25, 100, 50.0))
    lines = [
        " ".join(line.split()) for line in dubline("status", submitted).stdout.splitlines() if line.strip()
    ]
    assert lines[0] == f"{submitted} 1 waiting · 1 generating"
    assert lines[-2:] == ["one generating 25/100 50 fps 0:02", "two waiting – –"]
    listed = dubline("status").stdout.split("\n")
    assert any(submitted in line and "1 waiting · 1 generating" in line for line in listed)
    told = json.loads(dubline("status", submitted, "--json").stdout)
    assert (told["rows"][0]["eta_seconds"], told["counts"]) == (1.5, {"waiting": 1, "generating": 1})
    everything = json.loads(dubline("status", "--json").stdout)
    assert (everything["batches"][0]["rows"], everything["live"]) == (2, True)
    assert (everything["workers"], everything["queue"]["depth"]) == ([], 0)


def test_a_script_that_watches_reads_one_object_a_line_until_the_batch_has_ended(
    dubline, here, rows, submitted, commit, ledger, monkeypatch
):
    def work():
        time.sleep(1.2)
        for row in rows:
            commit(submitted, row)
            ledger.finish(row.job.id, "done")

    worker = threading.Thread(target=work)
    worker.start()
    shown = dubline("status", submitted, "--watch", "--json")
    worker.join()
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert len(lines) >= 2
    assert (lines[0]["counts"], lines[-1]["counts"]) == ({"waiting": 2}, {"done": 2})
    assert lines[0]["workers"] == []


def test_a_script_that_watches_everything_reads_one_object_a_line_until_ctrl_c(
    dubline, here, submitted, monkeypatch
):
    looks = iter([None, None, KeyboardInterrupt()])
    look = Overview.look

    def looking(overview):
        if interrupt := next(looks):
            raise interrupt
        return look(overview)

    monkeypatch.setattr(Overview, "look", looking)
    shown = dubline("status", "--watch", "--json")
    lines = [json.loads(line) for line in shown.stdout.splitlines()]
    assert shown.exit_code == 0
    assert [[each["batch"] for each in line["batches"]] for line in lines] == [[submitted]] * 2
    assert set(lines[0]) == {"batches", "workers", "queue", "live", "note"}


def test_status_without_redis_says_so_and_shows_what_has_ended(
    dubline, here, submitted, rows, commit, monkeypatch
):
    for row in rows:
        commit(submitted, row)
    monkeypatch.setenv("DUBLINE_REDIS_URL", "redis://127.0.0.1:1/0")
    shown = dubline("status")
    assert shown.exit_code == 0
    assert "workers  Redis is away (see DUBLINE_REDIS_URL)" in shown.stdout
    assert "2 done" in shown.stdout
    told = json.loads(dubline("status", "--json").stdout)
    assert (told["live"], told["queue"], told["workers"]) == (False, None, [])


def test_status_of_a_batch_that_is_not_there_exits_2(dubline, here):
    shown = dubline("status", "nightly")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr == "error [not_found]: there is no batch 'nightly'; `dubline status` lists them\n"


def test_results_come_with_a_page_and_say_what_is_missing(
    dubline, here, storage, submitted, commit, tmp_path
):
    one, _ = batch_rows(storage, submitted)
    commit(submitted, one)
    shown = dubline("results", submitted, "--to", tmp_path / "out")
    assert shown.exit_code == 0
    assert (tmp_path / "out" / "one.mp4").is_file()
    assert "one.mp4" in (tmp_path / "out" / "index.html").read_text()
    assert "1 row not ended yet" in shown.stdout
    assert "0.61" in shown.stdout
    told = json.loads(dubline("results", submitted, "--to", tmp_path / "out", "--json").stdout)
    assert [row["status"] for row in told["rows"]] == ["succeeded", None]


def test_a_lost_video_is_told_and_exits_1(dubline, here, storage, submitted, commit, tmp_path):
    one, _ = batch_rows(storage, submitted)
    storage.delete(commit(submitted, one).output.key)
    shown = dubline("results", submitted, "--to", tmp_path / "out")
    assert shown.exit_code == 1
    assert "does not exist" in shown.stdout


def test_a_wrong_setting_is_told_without_a_traceback(dubline, monkeypatch):
    monkeypatch.setenv("DUBLINE_ATTEMPTS", "many")
    shown = dubline("status")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("error [configuration]: settings are wrong: DUBLINE_ATTEMPTS")


def test_a_store_that_is_away_is_told_without_a_traceback(dubline, monkeypatch):
    for name, value in {"ENDPOINT": "http://127.0.0.1:1", "ACCESS_KEY": "a", "SECRET_KEY": "s"}.items():
        monkeypatch.setenv(f"DUBLINE_S3_{name}", value)
    shown = dubline("status")
    assert shown.exit_code == 1
    assert shown.stderr.startswith("error [store_unavailable]: ")


def test_the_doctor_finds_everything_well_and_exits_0_or_says_what_to_do_and_exits_1(
    dubline, here, monkeypatch
):
    well = {each["name"]: each for each in json.loads(dubline("doctor", "--json").stdout)}
    assert (well["broker"]["ok"], well["store"]["ok"]) == (True, True)
    monkeypatch.setenv("DUBLINE_REDIS_URL", "redis://127.0.0.1:1/0")
    ill = dubline("doctor")
    assert ill.exit_code == 1
    assert "start one with `dubline up`, or set DUBLINE_REDIS_URL" in ill.stdout


def test_the_environment_lines_of_up_are_settings(services):
    lines = [line for line in _addresses(services).plain.splitlines() if "export" in line]
    names = {line.split()[1].split("=")[0].removeprefix("DUBLINE_").lower() for line in lines}
    assert names == {"redis_url", "s3_endpoint", "s3_bucket", "s3_access_key", "s3_secret_key"} & set(
        Settings.model_fields
    )


def test_a_demo_without_its_csv_says_where_to_run_it(dubline, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = dubline("demo")
    assert shown.exit_code == 1
    assert "demo/jobs.csv is not here; run this in a checkout of Dubline, or name a CSV" in shown.stderr


INTERRUPTIBLE = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests that run in the background were told to ignore it
from producer.cli import main
main()
"""


def test_a_screen_that_is_left_by_ctrl_c_gives_the_terminal_back(here, submitted):
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment = {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-c", INTERRUPTIBLE, "status", "--watch"]
    watching = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    begun = submitted[:20].encode()  # of a long name so much is shown
    while begun not in shown:
        shown += os.read(ours, 65536)
    watching.send_signal(signal.SIGINT)
    with suppress(OSError):  # how Linux says that nobody is at the other end any more
        while more := os.read(ours, 65536):
            shown += more
    os.close(ours)
    assert watching.wait(30) == 0
    _, _, after = shown.partition(b"\x1b[?1049l")
    assert shown.count(b"\x1b[?1049h") == shown.count(b"\x1b[?1049l") == 1
    assert shown.rfind(b"\x1b[?25h") > shown.rfind(b"\x1b[?25l"), "the cursor is shown again"
    assert begun in after and b"Traceback" not in shown


def test_the_query_of_a_url_is_shown_by_no_command(dubline, here, jobs, storage, commit):
    jobs.write_text("id,video,audio\none,https://host/v.mp4?sig=hunter2,hello.wav\n")
    batch = json.loads(dubline("submit", jobs, "--json").stdout)["batch"]
    (row,) = batch_rows(storage, batch)
    for _ in ("waiting", "ended"):
        for words in (["status", batch], ["show", batch, "one"], ["show", row.job.id[:12]]):
            for more in ([], ["--json"]):
                shown = dubline(*words, *more).output
                assert "hunter2" not in shown
        assert "https://host/v.mp4" in dubline("show", batch, "one").output
        commit(batch, row.model_copy(update={"job": row.job}))


# Webhooks


@pytest.fixture
def signing(monkeypatch):
    monkeypatch.setenv("DUBLINE_WEBHOOK_SECRET", "whsec_" + "QUJD" * 8)


def test_a_batch_is_submitted_with_a_webhook_of_its_own(dubline, here, signing, jobs, storage):
    shown = dubline("submit", jobs, "--batch", "nightly", "--webhook", "https://host/hook?key=x")
    assert shown.exit_code == 0
    assert json.loads(storage.get(keys.webhook("nightly")))["url"] == "https://host/hook?key=x"
    dubline("submit", jobs, "--batch", "nightly", "--webhook", "https://host/other")
    assert json.loads(storage.get(keys.webhook("nightly")))["url"] == "https://host/other"
    dubline("submit", jobs, "--batch", "nightly")
    assert json.loads(storage.get(keys.webhook("nightly")))["url"] == "https://host/other"


@pytest.mark.parametrize(
    ("url", "said"), [("ftp://host/", "is not an https:// URL"), ("https://127.0.0.1/", "not public")]
)
def test_a_webhook_that_is_none_is_refused_before_anything_is_put(
    dubline, here, signing, jobs, storage, url, said
):
    shown = dubline("submit", jobs, "--webhook", url)
    assert (shown.exit_code, list(storage.list(""))) == (2, [])
    assert said in shown.stderr


def test_a_webhook_without_a_secret_is_refused_in_a_sentence(dubline, here, jobs, storage):
    shown = dubline("submit", jobs, "--webhook", "https://host/hook")
    assert (shown.exit_code, list(storage.list(""))) == (1, [])
    assert "DUBLINE_WEBHOOK_SECRET" in shown.stderr


def test_status_and_show_tell_how_far_webhooks_are(dubline, here, submitted, rows, commit, storage):
    assert "webhook" not in dubline("status", submitted).stdout
    outbox = Outbox(storage)
    outbox.row_ended(submitted, "one", commit(submitted, rows[0]), "https://host/hook?key=hunter2")
    (pending,) = storage.list(keys.events("pending"))
    event = WebhookDelivery.model_validate_json(storage.get(pending.key))
    now = datetime.now(UTC)
    tried = event.model_copy(
        update={"tries": 2, "last": Reply(at=now, status=503), "due": now + timedelta(seconds=90)}
    )
    storage.put(pending.key, tried.model_dump_json().encode())
    shown = dubline("status", submitted).stdout
    assert "webhook" in shown
    assert "pending, tried twice, 503, again in 1:" in shown
    (told,) = json.loads(dubline("status", submitted, "--json").stdout)["webhooks"]
    assert (told["row"], told["state"], told["tries"], told["last"]) == ("one", "pending", 2, "503")
    closeup = dubline("show", submitted, "one").stdout
    assert "job.succeeded to https://host/hook: pending, tried twice" in closeup
    (told,) = json.loads(dubline("show", submitted, "one", "--json").stdout)["webhooks"]
    assert told["url"] == "https://host/hook"
    assert "hunter2" not in shown + closeup
    storage.put(
        keys.event("delivered", submitted, None, "evt_1"),
        tried.model_copy(update={"row": None, "type": "batch.ended"}).model_dump_json().encode(),
    )
    assert "webhook of the batch  delivered" in dubline("status", submitted).stdout
