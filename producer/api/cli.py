"""`dubline api` and `dubline keys`. FastAPI is imported when the server starts, and not to list the commands."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from contract.errors import ConfigurationError
from contract.settings import Settings
from producer.api.keyring import add_key, read_keys, remove_key
from producer.commands import AsJson, tell

PORT = 8080

keys = typer.Typer(no_args_is_help=True, help="Make, list and remove keys of the HTTP API.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False, help="Whose it is: studio, team-a.")]


def api(
    host: Annotated[
        str, typer.Option(help="Where to listen; without keys only on this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = PORT,
    processes: Annotated[int, typer.Option(min=1, max=64, help="Serve by so many processes.")] = 1,
) -> None:
    """Serve the HTTP API and its page until Ctrl-C."""
    if not is_installed():
        raise ConfigurationError("`dubline api` needs FastAPI: pip install 'dubline[api]'")
    from producer.api.server import serve

    serve(Settings.read(), host, port, processes)


def is_installed() -> bool:
    """Whether the extra `api` is."""
    return all(find_spec(each) for each in ("fastapi", "uvicorn", "python_multipart"))


@keys.command("add")
def add(name: Name, as_json: AsJson = False) -> None:
    """Make a key; it is shown this once."""
    key = add_key(_file(), name)
    tell(Text(f"{key}\nkeep it: only its hash stays here"), {"name": name, "key": key}, as_json)


@keys.command("list")
def list_names(as_json: AsJson = False) -> None:
    """List the names of all keys."""
    names = sorted(read_keys(_file()))
    tell(Text("\n".join(names) or "there are no keys"), names, as_json)


@keys.command("remove")
def remove(name: Name, as_json: AsJson = False) -> None:
    """Make a key worth nothing; its jobs stay."""
    remove_key(_file(), name)
    tell(Text(f"the key {name} is worth nothing any more"), {"name": name}, as_json)


def _file() -> Path:
    path = Settings.read().api_keys
    if path is None:
        raise ConfigurationError("no file of keys is set; set DUBLINE_API_KEYS to one, it need not exist yet")
    return path.expanduser()
