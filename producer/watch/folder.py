"""A drop folder: where it is, and all that lies in it at one moment."""

from dataclasses import dataclass, field
from typing import Self

from contract import keys
from contract.errors import BadRequest
from contract.storage import Storage, StoredObject

REPORT_SUFFIX = ".error.json"
"""Ours: what has it is never an input."""
TABLE_SUFFIX = ".csv"


@dataclass(frozen=True)
class Folder:
    """A folder of a bucket, ours or another."""

    bucket: str
    prefix: str
    """Ends in a slash."""

    @classmethod
    def parse(cls, text: str, own_bucket: str) -> Self:
        """The folder at an address with or without its last slash.

        Raises:
            BadRequest: it is none, or Dubline keeps its own objects there.
        """
        bucket, _, key = text.removeprefix("s3://").partition("/")
        prefix = key.strip("/") + "/"
        if not text.startswith("s3://") or not bucket or prefix == "/":
            raise BadRequest(f"{text!r} is no drop folder; write s3://bucket/folder/")
        if bucket == own_bucket and prefix.startswith(keys.OURS):
            raise BadRequest(
                f"{text}: Dubline keeps its own objects there; name another folder, such as s3://{bucket}/drop/"
            )
        return cls(bucket, prefix)

    @property
    def name(self) -> str:
        """Its own, without those above it."""
        return self.prefix.rstrip("/").rpartition("/")[2]

    def address(self, key: str = "") -> str:
        """Of an object of its bucket; without a key: of the folder."""
        return f"s3://{self.bucket}/{key or self.prefix}"

    def beside(self, *names: str) -> str:
        """The key of something beside the folder, not in it."""
        above = self.prefix.rstrip("/").rpartition("/")[0]
        return "/".join([above, *names] if above else names)


@dataclass(frozen=True)
class Content:
    """What lies in a folder, by key."""

    inputs: dict[str, StoredObject] = field(default_factory=dict)
    tables: dict[str, StoredObject] = field(default_factory=dict)
    """CSVs."""
    reports: dict[str, StoredObject] = field(default_factory=dict)
    """Of ours, from earlier looks."""

    def __len__(self) -> int:
        return len(self.inputs) + len(self.tables) + len(self.reports)


def look_into(storage: Storage, folder: Folder) -> Content:
    """All that lies in the folder and below it, but for what names folders and what hides."""
    content = Content()
    for each in storage.list(folder.address()):
        name = each.key.rpartition("/")[2]
        if name and not name.startswith("."):
            _shelf(content, name.lower())[each.key] = each
    return content


def _shelf(content: Content, name: str) -> dict[str, StoredObject]:
    if name.endswith(REPORT_SUFFIX):
        return content.reports
    return content.tables if name.endswith(TABLE_SUFFIX) else content.inputs
