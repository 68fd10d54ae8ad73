"""What belongs together: all that one name stands for, which is a pair, half of one, or neither."""

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from posixpath import splitext
from typing import Any, Literal

from contract.errors import BadRequest
from contract.storage import StoredObject
from producer.kinds import KINDS
from producer.pairs import file_name
from producer.watch.folder import Content, Folder

AUDIOS = frozenset(suffix for suffix, kind in KINDS.items() if kind.startswith("audio/"))
VIDEOS = KINDS.keys() - AUDIOS
"""By its suffix an input is one or the other; what is in it the worker finds out."""
OPTIONS = ".json"

Kind = Literal["video", "audio", "options", "other", "deep"]
_MANY: dict[Kind, str] = {"video": "videos", "audio": "audios", "options": "files of options"}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A pair as it lies in the folder."""

    name: str
    video: StoredObject
    audio: StoredObject
    options: StoredObject | None

    @property
    def parts(self) -> tuple[StoredObject, ...]:
        """All of it."""
        return (self.video, self.audio, self.options) if self.options else (self.video, self.audio)

    def id(self, folder: Folder) -> str:
        """SHA-256 of what it is made of: other content is another pair."""
        return content_id(folder, self.parts)


@dataclass(frozen=True, slots=True)
class Half:
    """Something that waits for what would make it a pair."""

    name: str
    has: str
    needs: str
    since: datetime
    """By the store's clock."""
    others: tuple[str, ...]
    """Keys of the same name whose type Dubline does not take."""

    def record(self) -> dict[str, Any]:
        """The same for a script."""
        return {**asdict(self), "since": self.since.isoformat()}


@dataclass(frozen=True, slots=True)
class Refused:
    """What can be no pair, and why."""

    name: str
    error: BadRequest


Found = Dropped | Half | Refused


def content_id(folder: Folder, parts: Iterable[StoredObject]) -> str:
    """SHA-256 of addresses and ETags, as 64 hexadecimal digits."""
    lines = (f"{folder.address(each.key)}\n{each.etag}\n" for each in parts)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def sort_out(
    folder: Folder, content: Content, taken: Collection[str]
) -> Iterator[tuple[Found | None, list[StoredObject]]]:
    """What each name stands for, or None, and the objects that have it; `taken` are keys that belong to a CSV."""
    named: dict[str, list[StoredObject]] = {}
    for key, found in content.inputs.items():
        if key not in taken:
            named.setdefault(file_name(_name(folder, key)), []).append(found)
    for parts in named.values():
        yield _judge(folder, parts), parts


def _name(folder: Folder, key: str) -> str:
    """A file's stem, or the folder that it lies in."""
    first, _, below = key.removeprefix(folder.prefix).partition("/")
    return first if below else splitext(first)[0]


def _judge(folder: Folder, parts: list[StoredObject]) -> Found | None:
    """What objects of one name are; None: of no type that Dubline takes."""
    kinds: dict[Kind, list[StoredObject]] = {}
    for each in parts:
        kinds.setdefault(_kind(folder, each.key), []).append(each)
    if kinds.keys() == {"other"}:
        return None
    name = _name(folder, parts[0].key)
    if problem := _problem(folder, kinds):
        return Refused(name, BadRequest(problem))
    if "video" in kinds and "audio" in kinds:
        (video,), (audio,), (options,) = kinds["video"], kinds["audio"], kinds.get("options", [None])
        return Dropped(name, video, audio, options)
    return _half(name, kinds)


def _kind(folder: Folder, key: str) -> Kind:
    suffix = splitext(key)[1].lower()
    if suffix == OPTIONS:
        kind: Kind = "options"
    else:
        kind = "video" if suffix in VIDEOS else "audio" if suffix in AUDIOS else "other"
    return "deep" if key.removeprefix(folder.prefix).count("/") > 1 and kind != "other" else kind


def _problem(folder: Folder, kinds: dict[Kind, list[StoredObject]]) -> str | None:
    if deep := kinds.get("deep"):
        where = folder.address()
        return f"{_short(folder, deep)} lies too deep; put it into {where}, or into a folder right below"
    for kind, word in _MANY.items():
        if len(found := kinds.get(kind, [])) > 1:
            return f"there are {len(found)} {word} of this name: {_short(folder, found)}; leave one of them"
    return None


def _short(folder: Folder, found: list[StoredObject], most: int = 4) -> str:
    names = [each.key.removeprefix(folder.prefix) for each in found]
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _half(name: str, kinds: dict[Kind, list[StoredObject]]) -> Half:
    present = [kind for kind in ("video", "audio", "options") if kind in kinds]
    missing = [kind for kind in ("video", "audio") if kind not in kinds]
    return Half(
        name=name,
        has=" and ".join(present),
        needs=" and ".join(missing),
        since=max(each.modified for kind in present for each in kinds[kind]),
        others=tuple(each.key for each in kinds.get("other", ())),
    )
