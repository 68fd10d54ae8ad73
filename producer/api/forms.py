"""A multipart form taken apart while it comes in: nothing of it is kept here."""

from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from contract.errors import BadRequest

_NOT_A_FORM = (
    "the body is no multipart/form-data; send the fields video and audio as files (curl -F video=@face.mp4)"
)


@dataclass(frozen=True)
class PartBegins:
    """A field, or a file where it has a file's name."""

    name: str
    filename: str | None


@dataclass(frozen=True)
class PartData:
    """More bytes of the part that began last."""

    data: bytes


@dataclass(frozen=True)
class PartEnds:
    """The part that began last is whole."""


Event = PartBegins | PartData | PartEnds


class FormParser:
    """Bytes of a form in, what they mean out.

    Raises:
        BadRequest: the body is no form, or a broken one.
    """

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise BadRequest(_NOT_A_FORM)
        self._events: list[Event] = []
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = b"", b""
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._headers.clear,
                    "on_header_field": self._header_name,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._part,
                    "on_part_data": lambda data, start, end: self._events.append(PartData(data[start:end])),
                    "on_part_end": lambda: self._events.append(PartEnds()),
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise BadRequest(f"{_NOT_A_FORM}: {error}") from error

    def feed(self, data: bytes) -> list[Event]:
        """What these bytes bring, in their order."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise BadRequest(f"the form is broken: {error}") from error
        events, self._events = self._events, []
        return events

    def finish(self) -> None:
        """Return if the form came to its end."""
        if not self._is_whole:
            raise BadRequest("the form breaks off before its end; send it again")

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name, self._value = b"", b""

    def _part(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if b"name" not in options:
            raise BadRequest("a part of the form has no name")
        filename = options.get(b"filename")
        name = options[b"name"].decode(errors="replace")
        self._events.append(
            PartBegins(name, filename.decode(errors="replace") if filename is not None else None)
        )

    def _end(self) -> None:
        self._is_whole = True
