"""The group of `dubline` commands: those of the producer, and those that other parts bring.

An entry point of the group `dubline.commands` is a command under its own name: a function that Typer can read
(annotated parameters, first line of the docstring as help), or a `typer.Typer` app with commands below it.
It is loaded when it is called or listed, so its module must import lightly, and what is heavy inside the function.
"""

import json
from importlib.metadata import EntryPoint, entry_points
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.markup import escape
from rich.text import Text
from typer.core import TyperCommand, TyperGroup

from contract.errors import BadRequest, ConfigurationError, DublineError, InputRejected

GROUP = "dubline.commands"
FAILED = 1
REJECTED = 2
"""Exit codes; 130 is Ctrl-C."""


def _note_json(ctx: typer.Context, value: bool) -> bool:
    """Remember at the root that a script reads: errors are JSON too then."""
    if value:
        ctx.find_root().obj = "json"
    return value


AsJson = Annotated[bool, typer.Option("--json", help="For scripts: JSON on stdout.", callback=_note_json)]


def console_for(as_json: bool = False) -> Console:
    """For people; beside JSON it writes to stderr."""
    return Console(stderr=as_json, highlight=False)


def tell(picture: RenderableType, record: Any, as_json: bool) -> None:
    """The record for a script, else the picture for a person."""
    if as_json:
        typer.echo(json.dumps(record, ensure_ascii=False))
    else:
        console_for().print(picture, soft_wrap=isinstance(picture, Text))


class Commands(TyperGroup):
    """Adds contributed commands, and turns our errors into one line and an exit code."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Our own, then the others."""
        own = super().list_commands(ctx)
        return own + sorted(each.name for each in _contributed() if each.name not in own)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of that name, or None."""
        if own := super().get_command(ctx, cmd_name):
            return own
        return next((_load(each) for each in _contributed() if each.name == cmd_name), None)

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            typer.Exit: 2 for what the request did wrong, 1 for all else; never a traceback for what is expected.
        """
        try:
            return super().invoke(ctx)
        except DublineError as error:
            _report(error, as_json=ctx.obj == "json")
            raise typer.Exit(REJECTED if isinstance(error, InputRejected) else FAILED) from error


def _contributed() -> tuple[EntryPoint, ...]:
    return tuple(entry_points(group=GROUP))


def _load(part: EntryPoint) -> Any:
    try:
        found = part.load()
    except ImportError as error:
        return _Missing(part.name, error)
    app = found if isinstance(found, typer.Typer) else _app_of(part.name, found)
    return typer.main.get_command(app)


def _app_of(name: str, function: Any) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    return app


class _Missing(TyperCommand):
    """Stands for a command whose part is not installed."""

    def __init__(self, name: str, error: ImportError) -> None:
        settings = {"ignore_unknown_options": True, "allow_extra_args": True}
        help_text = escape("Needs the worker: pip install 'dubline[worker]'")
        super().__init__(name, help=help_text, short_help=help_text, context_settings=settings)
        self._error = error

    def invoke(self, ctx: Any) -> Any:
        """Say what to install.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            f"`dubline {self.name}` needs the worker ({self._error}): pip install 'dubline[worker]'"
        ) from self._error


def _report(error: DublineError, *, as_json: bool) -> None:
    """One red line on stderr, below it the faults of rows; for scripts the same as JSON on stdout."""
    faults = error.faults if isinstance(error, BadRequest) else ()
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text(f"error [{error.code}]: {error.message}", "bold red"))
    for fault in faults:
        console.print(Text(f"  {fault}"))
    if as_json:
        rows = [{"line": each.line, "code": each.code, "message": each.message} for each in faults]
        record = {"error": {"code": error.code, "message": error.message, "faults": rows}}
        typer.echo(json.dumps(record, ensure_ascii=False))
