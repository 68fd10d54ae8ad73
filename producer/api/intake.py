"""The files of a form stream into the store: never whole in memory, never on disk.

A small file is put at once under its content. A larger one goes up in parts to a key of its own and is copied to its content
there when its SHA-256 is known. Few uploads may fill parts at a time; the others are not read meanwhile, and their clients wait.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from starlette.requests import ClientDisconnect, Request

from contract import keys
from contract.errors import BadRequest, InputTooLarge, Stalled
from contract.storage import Part, Storage, UnfinishedUpload
from producer.api.forms import Event, FormParser, PartBegins, PartData
from producer.api.services import Services
from producer.cells import refuse_size
from producer.kinds import KINDS, suffix_of

PART_BYTES = 8 * 2**20
"""S3's least is 5 MiB, and 10,000 parts its most: enough for 78 GiB."""
LIGHT_BYTES = 256 * 2**10
"""So much of a file is held without waiting for a place."""
PLACES = 6
"""Uploads that may hold up to a part each, in one process."""
FIELD_BYTES = 16 * 2**10
"""Most that the text fields of a form have together."""
IDLE_SECONDS = 30.0
"""A client that sends nothing for so long is let go."""


@dataclass(frozen=True)
class Arrived:
    """A file that lies in the store under its content."""

    filename: str
    address: str
    sha256: str
    bytes: int


@dataclass
class Form:
    """A form whose files are in the store."""

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Arrived] = field(default_factory=dict)

    def take(self, name: str) -> None:
        """Return if there is no such field yet."""
        if name in self.fields or name in self.files:
            raise BadRequest(f"the form has the field {name!r} twice")


class Intake:
    """Receives forms, in bounded memory however many come at once."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._places = asyncio.Semaphore(PLACES)

    async def receive(self, request: Request, files: Collection[str], fields: Collection[str]) -> Form:
        """The form of a request, with these fields and no others, in any order.

        Raises:
            BadRequest: it is none, is broken, or has a field that it should not.
            SourceUnsupported, EmptyInput, InputTooLarge: of one of the files.
            Stalled: the client stopped sending.
        """
        self._refuse_length(request, len(files))
        reception = _Reception(self._services, self._places, frozenset(files), frozenset(fields))
        try:
            parser = FormParser(request.headers.get("content-type", ""))
            async for chunk in body_of(request):
                for event in parser.feed(chunk):
                    await reception.take(event)
            parser.finish()
        except (
            BaseException
        ):  # whatever ended it, a client that went away among them: nothing is left in the store
            await reception.give_up()
            raise
        return reception.form

    def _refuse_length(self, request: Request, files: int) -> None:
        """A body that says itself that it is too large is not read."""
        said = request.headers.get("content-length", "")
        limit = files * (self._services.settings.max_input_bytes + 2**20)
        if said.isdigit() and int(said) > limit:
            raise InputTooLarge(
                f"the form has {int(said):,} bytes; the limit is {limit:,} (max_input_bytes a file)"
            )


async def body_of(request: Request, limit_bytes: int | None = None) -> AsyncIterator[bytes]:
    """The body as it comes in.

    Raises:
        InputTooLarge: it has more bytes than the limit.
        Stalled: nothing came for long, or the client went away.
    """
    chunks, total = request.stream(), 0
    while True:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(chunks, None)
        except TimeoutError as error:
            raise Stalled(f"nothing came for {IDLE_SECONDS:g} s; send it again") from error
        except ClientDisconnect as error:
            raise Stalled("the client went away before its request was whole") from error
        if chunk is None:
            return
        total += len(chunk)
        if limit_bytes is not None and total > limit_bytes:
            raise InputTooLarge(f"the body has more than {limit_bytes:,} bytes; send less at a time")
        yield chunk


class _Reception:
    """Takes one form event by event."""

    def __init__(
        self, services: Services, places: asyncio.Semaphore, files: frozenset[str], fields: frozenset[str]
    ) -> None:
        self.form = Form()
        self._services = services
        self._places = places
        self._files = files
        self._fields = fields
        self._part = PartBegins("", None)
        self._text = b""
        self._text_bytes = 0
        self._arrival: Arrival | None = None

    async def take(self, event: Event) -> None:
        if isinstance(event, PartBegins):
            self._begin(event)
        elif isinstance(event, PartData):
            await self._go_on(event.data)
        else:
            await self._end()

    def _begin(self, part: PartBegins) -> None:
        if part.name not in self._files | self._fields:
            known = ", ".join([*sorted(self._files), *sorted(self._fields)])
            raise BadRequest(f"the form has a field {part.name[:100]!r}; its fields are {known}")
        self.form.take(part.name)
        self._part, self._text = part, b""
        if part.name in self._files:
            if not part.filename:
                raise BadRequest(f"the field {part.name!r} must be a file with a name")
            self._arrival = Arrival(self._services, self._places, part.filename)

    async def _go_on(self, data: bytes) -> None:
        if self._arrival:
            await self._arrival.write(data)
            return
        self._text += data
        self._text_bytes += len(data)
        if self._text_bytes > FIELD_BYTES:
            raise InputTooLarge(f"the text fields have more than {FIELD_BYTES:,} bytes")

    async def _end(self) -> None:
        if self._arrival:
            self.form.files[self._part.name] = await self._arrival.finish()
            self._arrival = None
            return
        try:
            self.form.fields[self._part.name] = self._text.decode()
        except UnicodeDecodeError as error:
            raise BadRequest(f"the field {self._part.name!r} is not UTF-8") from error

    async def give_up(self) -> None:
        if self._arrival:
            await self._arrival.abort()


class Arrival:
    """One file on its way into the store, whose SHA-256 is computed in passing."""

    def __init__(self, services: Services, places: asyncio.Semaphore, filename: str) -> None:
        self._services = services
        self._storage: Storage = services.storage
        self._places = places
        self._filename = PurePosixPath(filename.replace("\\", "/")).name
        self._suffix = suffix_of(self._filename)
        self._digest = hashlib.sha256()
        self._held = bytearray()
        self._bytes = 0
        self._has_place = False
        self._upload: UnfinishedUpload | None = None
        self._parts: list[Part] = []

    async def write(self, data: bytes) -> None:
        """More of it. Waits for a place where it grows large, and while a part goes up.

        Raises:
            InputTooLarge: it has more bytes than an input may.
        """
        self._bytes += len(data)
        limit = self._services.settings.max_input_bytes
        if self._bytes > limit:
            raise InputTooLarge(f"{self._filename} has more than {limit:,} bytes (max_input_bytes)")
        self._services.figures.uploaded.inc(len(data))
        self._held += data
        if len(self._held) > LIGHT_BYTES and not self._has_place:
            await self._places.acquire()
            self._has_place = True
        if len(self._held) >= PART_BYTES:
            await self._put_part()

    async def _put_part(self) -> None:
        body = bytes(self._held)
        self._held = bytearray()
        await self._services.store(self._put, body)

    def _put(self, body: bytes) -> None:
        self._digest.update(body)
        if self._upload is None:
            key = keys.arriving(secrets.token_hex(16), self._suffix)
            self._upload = self._storage.begin_upload(key, KINDS[self._suffix])
        self._parts.append(self._storage.put_part(self._upload, len(self._parts) + 1, body))

    async def finish(self) -> Arrived:
        """The whole file, in the store under its content.

        Raises:
            EmptyInput: it has no bytes.
        """
        refuse_size(self._filename, self._bytes, self._services.settings)
        try:
            await self._services.store(self._complete, bytes(self._held))
        finally:
            self._leave()
        sha256 = self._digest.hexdigest()
        address = f"s3://{self._storage.bucket}/{keys.uploaded(sha256, self._suffix)}"
        return Arrived(self._filename, address, sha256, self._bytes)

    def _complete(self, rest: bytes) -> None:
        if self._upload is None:
            self._digest.update(rest)
            self._put_whole(rest)
            return
        if rest:
            self._put(rest)
        self._storage.complete_upload(self._upload, self._parts, self._bytes)
        target = keys.uploaded(self._digest.hexdigest(), self._suffix)
        if self._storage.stat(target) is None:
            self._storage.copy(self._upload.key, target)
        self._storage.delete(self._upload.key)

    def _put_whole(self, body: bytes) -> None:
        target = keys.uploaded(self._digest.hexdigest(), self._suffix)
        if self._storage.stat(target) is None:
            self._storage.put(target, body, KINDS[self._suffix])

    async def abort(self) -> None:
        """Leave nothing behind."""
        try:
            if self._upload:
                await self._services.store(self._storage.abort_upload, self._upload)
        finally:
            self._leave()

    def _leave(self) -> None:
        if self._has_place:
            self._places.release()
            self._has_place = False
        self._held = bytearray()


def cells_of(form: Form) -> Mapping[str, str]:
    """The form as a row of a CSV: its files by their address, and an id made of their names where it has none."""
    addresses = {name: each.address for name, each in form.files.items()}
    stems = [PurePosixPath(form.files[name].filename).stem for name in ("video", "audio")]
    return {
        "id": _plain("-".join(stems)),
        **{k: v.strip() for k, v in form.fields.items() if v.strip()},
        **addresses,
    }


def _plain(name: str) -> str:
    """A file's name as an id: what no id may hold is left out."""
    kept = "".join(each for each in name if each.isprintable() and each not in "/\\")
    return kept.encode()[:160].decode(errors="ignore") or "job"
