"""Commands that other parts bring."""

from importlib.metadata import EntryPoint

import pytest
import typer
from typer.testing import CliRunner

from contract.errors import LeaseLost, NoFace
from producer import commands
from producer.commands import GROUP, Commands

app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.command()
def own() -> None:
    """A command of the producer."""


@app.command()
def interrupted() -> None:
    """A command that Ctrl-C ends."""
    raise KeyboardInterrupt


def brought(name: str, count: int = 1) -> None:
    """A function that another part brings."""
    typer.echo(f"{name} {count}")


def rejecting() -> None:
    """A command that refuses its input."""
    raise NoFace("no face in v.mp4")


def failing() -> None:
    """A command that fails."""
    raise LeaseLost("[bold]gone")


group = typer.Typer(help="An app that another part brings.")
group.command("below")(brought)
group.command("aside")(rejecting)


@pytest.fixture
def run(monkeypatch):
    values = {"brought": "brought", "rejecting": "rejecting", "failing": "failing", "group": "group"}
    parts = [EntryPoint(name, f"{__name__}:{value}", GROUP) for name, value in values.items()]
    parts += [
        EntryPoint("absent", "no_such_module_of_dubline:run", GROUP),
        EntryPoint("own", "nothing:here", GROUP),
    ]
    monkeypatch.setattr(commands, "entry_points", lambda group: parts)
    monkeypatch.setenv("COLUMNS", "200")
    return lambda *words: CliRunner().invoke(app, words)


def test_a_function_becomes_a_command_with_its_parameters(run):
    shown = run("brought", "face", "--count", "2")
    assert (shown.exit_code, shown.stdout) == (0, "face 2\n")


def test_an_app_becomes_commands_below_its_name(run):
    assert run("group", "below", "face").stdout == "face 1\n"


def test_help_lists_them_with_their_first_lines(run):
    text = run().output
    assert "A function that another part brings." in text
    assert "An app that another part brings." in text
    assert "pip install 'dubline[worker]'" in text


def test_a_command_of_our_own_is_not_replaced(run):
    assert run("own").exit_code == 0


def test_a_part_that_is_not_installed_says_what_to_install(run):
    shown = run("absent", "video.mp4", "-o", "out.mp4")
    assert shown.exit_code == 1
    assert shown.stderr == (
        "error [configuration]: `dubline absent` needs the worker (No module named 'no_such_module_of_dubline'): "
        "pip install 'dubline[worker]'\n"
    )


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("rejecting",), 2, "error [no_face]: no face in v.mp4\n"),
        (("group", "aside"), 2, "error [no_face]: no face in v.mp4\n"),
        (("failing",), 1, "error [lease_lost]: [bold]gone\n"),
    ],
)
def test_an_error_of_ours_is_one_line_and_an_exit_code(run, words, code, line):
    shown = run(*words)
    assert (shown.exit_code, shown.stderr, shown.stdout) == (code, line, "")


def test_ctrl_c_exits_130(run):
    assert run("interrupted").exit_code == 130
