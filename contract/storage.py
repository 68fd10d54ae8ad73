"""The store: S3, or anything that speaks it and keeps its promise about conditional puts.

This is the only file that imports boto3. An *address* is a key of our own bucket, or an `s3://bucket/key` of any.
"""

import hashlib
import io
import logging
import random
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    FlexibleChecksumError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
)
from botocore.utils import parse_timestamp

from contract.errors import (
    ConfigurationError,
    DiskFull,
    DublineError,
    InputChanged,
    InputForbidden,
    InputNotFound,
    InputTooLarge,
    StoreRefused,
    StoreUnavailable,
)
from contract.races import race
from contract.settings import Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

logger = logging.getLogger(__name__)

CHUNK_BYTES = 1 << 20
SINGLE_PUT_BYTES = 5 * 2**30
"""S3's own limit for one PutObject; larger files go up in parts."""
CONDITIONAL_TRIES = 4
"""A conditional put is repeated on 409 (AWS: a concurrent conditional write) and on lost replies."""
READ_TRIES = 4
"""A reading that breaks off is taken up where it broke; so often in a row without getting any further."""
READ_PAUSE_SECONDS = 0.5
"""Full jitter below this before a reading is taken up, doubled each time it gets no further."""
DELETE_KEYS = 1000
"""S3's own limit for one request."""

_MISSING = {"404", "NoSuchKey", "NotFound"}
_NO_BUCKET = {"404", "NoSuchBucket", "NotFound"}
_NO_UPLOAD = {"404", "NoSuchUpload"}
_IMPOSSIBLE = {
    "400",
    "InvalidRequest",
    "InvalidArgument",
    "KeyTooLongError",
    "InvalidBucketName",
    "InvalidURI",
}
_FORBIDDEN = {"403", "AccessDenied", "AllAccessDisabled", "InvalidObjectState"}
_CREDENTIALS = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"}
_CHANGED = {"412", "PreconditionFailed"}
_CONFLICT = {"409", "ConditionalRequestConflict", "OperationAborted"}


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object as the store lists it."""

    key: str
    bytes: int
    etag: str
    modified: datetime = field(compare=False)
    """When it was written, by the store's clock, with its zone."""
    sha256: str | None = field(default=None, compare=False)
    """Of the whole content, where the store was told it at the upload and is asked by `stat`."""


@dataclass(frozen=True)
class UnfinishedUpload:
    """An upload in parts that nobody has completed: nobody sees it, and it takes room."""

    key: str
    id: str
    started: datetime
    """By the store's clock, with its zone."""


@dataclass(frozen=True)
class Part:
    """A part of an unfinished upload that the store has."""

    number: int
    etag: str
    crc32: str | None
    """As the store spells it; None from a store that computes none."""

    def record(self) -> dict[str, Any]:
        """For the request that completes the upload."""
        checksum = {"ChecksumCRC32": self.crc32} if self.crc32 else {}
        return {"PartNumber": self.number, "ETag": self.etag, **checksum}


@dataclass(frozen=True)
class Download:
    """What was read into a file."""

    bytes: int
    sha256: str
    etag: str


Advance = Callable[[int], None]
"""Told how many bytes have just gone over the wire."""


def _ignore(_: int) -> None:
    """Nobody waits."""


class Storage:
    """Objects by address: get, put, put-if-absent, replace-if-same, upload, download, copy, list and delete.

    All methods raise `StoreUnavailable` when the store is away, slow or throttling after botocore's own
    retries, `InputForbidden` when it refuses an `s3://` address, `ConfigurationError` when it refuses the
    credentials or a key of our own bucket: then a person must act, and no job is to blame.
    """

    def __init__(self, settings: Settings) -> None:
        self.bucket = settings.s3_bucket
        self._where = settings.s3_endpoint or "AWS S3"
        self._page_keys = settings.list_page_keys
        self._client = _client(settings, settings.s3_endpoint)
        public = settings.s3_public_endpoint
        self._signer = _client(settings, public) if public else self._client
        """Signs addresses for others, which name the store as they reach it."""

    def get(self, address: str) -> bytes | None:
        """The object's content, or None where there is none."""
        found = self.get_with_etag(address)
        return found[0] if found else None

    def get_with_etag(self, address: str) -> tuple[bytes, str] | None:
        """The object's content and its version, for `replace_if_same` and `delete_if_same`; None where there is none."""
        with self._translated(address):
            try:
                reply = self._client.get_object(**self._locate(address))
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            return b"".join(self._chunks(address, reply)), reply["ETag"].strip('"')

    def lines(self, address: str, start: int = 0) -> Generator[bytes, None, None]:
        """The object's lines without their ends, streamed, from the byte `start` on.

        Raises:
            InputNotFound: there is no such object.
        """
        rest: dict[str, Any] = {"Range": f"bytes={start}-"} if start else {}
        with self._translated(address):
            reply = self._client.get_object(**self._locate(address), **rest)
            with closing(self._chunks(address, reply, start)) as chunks:
                begun = b""
                for chunk in chunks:
                    *whole, begun = (begun + chunk).split(b"\n")
                    yield from whole
                if begun:
                    yield begun

    def read(self, address: str, start: int, end: int) -> Generator[bytes, None, None]:
        """The object's bytes from `start` up to and without `end`, streamed; the range is not empty.

        Raises:
            InputNotFound: there is no such object.
        """
        with self._translated(address):
            reply = self._client.get_object(**self._locate(address), Range=f"bytes={start}-{end - 1}")
            with closing(self._chunks(address, reply, start)) as chunks:
                yield from chunks

    def _chunks(self, address: str, reply: Any, start: int = 0) -> Generator[bytes, None, None]:
        """All that a GET's reply announces, from the byte `start` on; what breaks off is asked for again from there."""
        at, end, tries = start, start + reply["ContentLength"], 0
        while True:
            broken: BotoCoreError | None = None
            try:
                with closing(reply["Body"]) as body:
                    for chunk in body.iter_chunks(CHUNK_BYTES):
                        yield chunk
                        at, tries = at + len(chunk), 0
            except FlexibleChecksumError:  # some byte of it is wrong, and nobody knows which
                raise
            except BotoCoreError as error:
                broken = error
            if at == end:
                return
            tries += 1
            if tries == READ_TRIES:
                short = f"{self._where} broke off {address} after {at:,} of {end:,} bytes"
                raise StoreUnavailable(f"{short}, {tries} times") from broken
            time.sleep(random.uniform(0, READ_PAUSE_SECONDS * 2**tries))  # noqa: S311 - jitter, not a secret
            reply = self._client.get_object(
                **self._locate(address), Range=f"bytes={at}-{end - 1}", IfMatch=reply["ETag"]
            )

    def stat(self, address: str) -> StoredObject | None:
        """Size, ETag and SHA-256, or None where there is no object."""
        with self._translated(address):
            try:
                head = self._client.head_object(**self._locate(address), ChecksumMode="ENABLED")
            except ClientError as error:
                if _code(error) in _MISSING:
                    return None
                raise
            etag, sha256 = head["ETag"].strip('"'), _hexadecimal(head.get("ChecksumSHA256", ""))
            return StoredObject(address, head["ContentLength"], etag, head["LastModified"], sha256)

    def put(self, key: str, body: bytes, content_type: str = "application/json") -> None:
        """Write an object whole, over whatever was there."""
        with self._translated(key):
            self._client.put_object(**self._locate(key), Body=body, ContentType=content_type)

    def put_if_absent(self, key: str, body: bytes, content_type: str = "application/json") -> bytes:
        """The object's content after the put: `body` if it is ours, else what was there before.

        Atomic: of any number of writers exactly one wins, and all see the same content. A put whose reply was
        lost is repeated and finds itself (412 for one's own write), so callers tell winners by the content alone.
        """
        for _ in range(CONDITIONAL_TRIES):
            won = self._try_put(key, body, content_type, IfNoneMatch="*")
            if won:
                return body
            if won is False and (present := self.get(key)) is not None:
                return present
        raise self._unsettled("put", key)

    def replace_if_same(
        self, key: str, body: bytes, etag: str, content_type: str = "application/json"
    ) -> bool:
        """Whether the object is `body` now; False: it was no longer the version `etag`, and nothing was written.

        Atomic: of any number of writers of different contents, exactly one wins. A put whose reply was lost finds itself.
        """
        for _ in range(CONDITIONAL_TRIES):
            won = self._try_put(key, body, content_type, IfMatch=f'"{etag}"')
            if won is not None:
                return won or self.get(key) == body
        raise self._unsettled("put", key)

    def _try_put(self, key: str, body: bytes, content_type: str, **condition: Any) -> bool | None:
        """True: written. False: the condition does not hold. None: not known, ask again."""
        with self._translated(key):
            try:
                self._client.put_object(**self._locate(key), Body=body, ContentType=content_type, **condition)
            except ClientError as error:
                return _lost_condition(error)
            return True

    def delete(self, key: str) -> None:
        """Remove an object, or find that there is none."""
        with self._translated(key):
            self._client.delete_object(**self._locate(key))

    def delete_if_same(self, key: str, etag: str) -> bool:
        """Whether the object is gone now; False: it was no longer the version `etag`, and it stands.

        A delete whose reply was lost finds the object gone.
        """
        for _ in range(CONDITIONAL_TRIES):
            won = self._try_delete(key, etag)
            if won is not None:
                return won or self.stat(key) is None
        raise self._unsettled("delete", key)

    def _try_delete(self, key: str, etag: str) -> bool | None:
        with self._translated(key):
            try:
                self._client.delete_object(**self._locate(key), IfMatch=f'"{etag}"')
            except ClientError as error:
                return _lost_condition(error)
            return True

    def delete_all(self, keys: Iterable[str]) -> int:
        """Remove many objects of our bucket, a thousand in one request; how many."""
        remaining, deleted = iter(keys), 0
        while some := list(islice(remaining, DELETE_KEYS)):
            with self._translated(some[0]):
                listed: Any = {"Objects": [{"Key": key} for key in some], "Quiet": True}
                failed = self._client.delete_objects(Bucket=self.bucket, Delete=listed).get("Errors", [])
            if failed:
                first = failed[0]
                raise StoreUnavailable(
                    f"{self._where} kept {len(failed)} of {len(some)} objects that were to go, "
                    f"{first.get('Key')} among them: {first.get('Code')}"
                )
            deleted += len(some)
        return deleted

    def _unsettled(self, what: str, key: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self._where} did not settle the conditional {what} of {key}; it is tried again later"
        )

    def upload(
        self,
        path: Path,
        key: str,
        sha256: str,
        content_type: str = "application/octet-stream",
        *,
        advance: Advance = _ignore,
    ) -> None:
        """Copy a file into the store, which checks it against its SHA-256 (64 hexadecimal digits)."""
        with self._translated(key), _disk(path):
            size = path.stat().st_size
            if size > SINGLE_PUT_BYTES:
                extra = {"ContentType": content_type, "ChecksumAlgorithm": "SHA256"}
                self._client.upload_file(str(path), self.bucket, key, ExtraArgs=extra, Callback=advance)
                self._refuse_size(key, size)
                return
            checksum = b64encode(bytes.fromhex(sha256)).decode()
            with _Watched(path, advance) as body:
                self._client.put_object(
                    **self._locate(key), Body=body, ContentType=content_type, ChecksumSHA256=checksum
                )

    def _refuse_size(self, key: str, size: int) -> None:
        """The store checked each part, and nobody that it has all of them."""
        stored = self.stat(key)
        if stored is None or stored.bytes != size:
            found = f"{stored.bytes:,} bytes" if stored else "nothing"
            raise StoreUnavailable(f"{self._where} has {found} of {key}, {size:,} were uploaded")

    def download(
        self,
        address: str,
        path: Path,
        *,
        etag: str | None = None,
        sha256: str | None = None,
        max_bytes: int | None = None,
        advance: Advance = _ignore,
    ) -> Download:
        """Copy an object into a file, all of it: what breaks off is taken up where it broke.

        Raises:
            InputNotFound: there is no such object.
            InputChanged: it is not the one with that ETag or that SHA-256, also when read a second time.
            InputTooLarge: it is larger than `max_bytes`; nothing was read.
            DiskFull: the disk is.
        """
        for _ in range(2):
            got = self._download(address, path, etag, max_bytes, advance)
            if sha256 is None or got.sha256 == sha256:
                return got
        raise InputChanged(f"{address} does not have the content that was submitted; submit it again")

    def _download(
        self, address: str, path: Path, etag: str | None, max_bytes: int | None, advance: Advance
    ) -> Download:
        condition: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        with self._translated(address), _disk(path):
            reply = self._client.get_object(**self._locate(address), **condition)
            size = reply["ContentLength"]
            if max_bytes is not None and size > max_bytes:
                reply["Body"].close()
                raise InputTooLarge(
                    f"{address} has {size:,} bytes; the limit is {max_bytes:,} (max_input_bytes)"
                )
            digest = hashlib.sha256()
            with closing(self._chunks(address, reply)) as chunks, path.open("wb") as file:
                for chunk in chunks:
                    digest.update(chunk)
                    file.write(chunk)
                    advance(len(chunk))
            return Download(size, digest.hexdigest(), reply["ETag"].strip('"'))

    def copy(self, source: str, target: str, *, etag: str | None = None) -> None:
        """Copy inside the store, between any two addresses; with an ETag that version and no other.

        Raises:
            InputNotFound: there is no such object.
            InputChanged: it is another version now.
        """
        condition: dict[str, Any] = {"CopySourceIfMatch": f'"{etag}"'} if etag else {}
        to = self._locate(target)
        with self._translated(source):
            self._client.copy(self._locate(source), to["Bucket"], to["Key"], ExtraArgs=condition)

    def clock(self, address: str = "") -> datetime:
        """The moment by the clock that dates the objects of this address's bucket.

        Raises:
            StoreRefused: the store does not say.
        """
        with self._translated(address):
            reply = self._client.head_bucket(Bucket=self._locate(address)["Bucket"])
        said = reply["ResponseMetadata"]["HTTPHeaders"].get("date")
        if said is None:
            raise StoreRefused(f"{self._where} answers without a Date, so nobody knows how old an object is")
        return parsedate_to_datetime(said)

    def begin_upload(self, key: str, content_type: str) -> UnfinishedUpload:
        """Begin an upload in parts to a key of our bucket; nobody sees it until it is completed."""
        with self._translated(key):
            begun = self._client.create_multipart_upload(
                **self._locate(key), ContentType=content_type, ChecksumAlgorithm="CRC32"
            )
            return UnfinishedUpload(key, begun["UploadId"], datetime.now(UTC))

    def put_part(self, upload: UnfinishedUpload, number: int, body: bytes) -> Part:
        """Upload a part, numbers from 1; all but the last have 5 MiB at least."""
        with self._translated(upload.key):
            put = self._client.upload_part(
                **self._locate(upload.key),
                UploadId=upload.id,
                PartNumber=number,
                Body=body,
                ChecksumAlgorithm="CRC32",
            )
            return Part(number, put["ETag"], put.get("ChecksumCRC32"))

    def complete_upload(self, upload: UnfinishedUpload, parts: Sequence[Part], size_bytes: int) -> None:
        """Make an object of the parts, all of them in their order; again where the reply was lost.

        Raises:
            StoreUnavailable: also where the object does not have that size then.
        """
        listed: Any = {"Parts": [each.record() for each in parts]}
        with self._translated(upload.key):
            try:
                self._client.complete_multipart_upload(
                    **self._locate(upload.key), UploadId=upload.id, MultipartUpload=listed
                )
            except ClientError as error:
                if _code(error) not in _NO_UPLOAD:
                    raise
        self._refuse_size(upload.key, size_bytes)

    def url_to_read(self, address: str, seconds: int, name: str, content_type: str) -> str:
        """An address that lets anybody read an object for a while, in a browser under that name. Asks nobody."""
        shown = f"inline; filename*=UTF-8''{quote(name)}"
        how = {
            **self._locate(address),
            "ResponseContentDisposition": shown,
            "ResponseContentType": content_type,
        }
        with self._translated(address):
            return self._signer.generate_presigned_url("get_object", Params=how, ExpiresIn=seconds)

    def url_to_write(self, key: str, seconds: int, size_bytes: int, content_type: str) -> str:
        """An address that lets anybody put so many bytes of that type there for a while. Asks nobody."""
        how = {**self._locate(key), "ContentLength": size_bytes, "ContentType": content_type}
        with self._translated(key):
            return self._signer.generate_presigned_url("put_object", Params=how, ExpiresIn=seconds)

    def list(self, prefix: str, start_after: str = "") -> Iterator[StoredObject]:
        """The objects under a prefix of our bucket, or under an `s3://` one of any, in the order of their keys."""
        where = self._locate(prefix)
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=where["Bucket"],
            Prefix=where["Key"],
            StartAfter=start_after,
            PaginationConfig={"PageSize": self._page_keys},
        )
        with self._translated(prefix):
            for page in pages:
                for each in page.get("Contents", ()):
                    yield StoredObject(
                        each["Key"], each["Size"], each["ETag"].strip('"'), each["LastModified"]
                    )

    def folders(self, prefix: str, beginning: str = "") -> Iterator[str]:
        """The names one level below a prefix that ends in a slash, all of them or those that begin so."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=prefix + beginning, Delimiter="/"
        )
        with self._translated(prefix):
            for page in pages:
                for each in page.get("CommonPrefixes", ()):
                    yield each["Prefix"].removeprefix(prefix).rstrip("/")

    def list_uploads(self, prefix: str = "") -> Iterator[UnfinishedUpload]:
        """The uploads in parts to keys of our bucket that were begun and neither completed nor aborted."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(
            Bucket=self.bucket, Prefix=prefix
        )
        with self._translated(prefix):
            for page in pages:
                for each in page.get("Uploads", ()):
                    yield UnfinishedUpload(each["Key"], each["UploadId"], each["Initiated"])

    def abort_upload(self, upload: UnfinishedUpload) -> None:
        """Give up an upload in parts, and the room it takes; or find that there is none any more."""
        with self._translated(upload.key):
            try:
                self._client.abort_multipart_upload(**self._locate(upload.key), UploadId=upload.id)
            except ClientError as error:
                if _code(error) not in _NO_UPLOAD:
                    raise

    def ensure_bucket(self) -> None:
        """Make our bucket where it is missing.

        Raises:
            ConfigurationError: the bucket is another's, or the credentials do not reach it.
        """
        with self._translated(self.bucket):
            try:
                # not HEAD: its answers carry no code, and a wrong key looks like a forbidden bucket
                self._client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
            except ClientError as error:
                if _code(error) in _FORBIDDEN:
                    raise ConfigurationError(
                        f"{self._where} refuses the bucket {self.bucket}; grant it to Dubline's credentials, "
                        "or set DUBLINE_S3_BUCKET"
                    ) from error
                if _code(error) not in _NO_BUCKET:
                    raise
                self._make_bucket()

    def _make_bucket(self) -> None:
        region = self._client.meta.region_name
        # us-east-1 is the one region that refuses to be named
        where: Any = (
            {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            self._client.create_bucket(Bucket=self.bucket, **where)
        except ClientError as error:
            if _code(error) == "BucketAlreadyExists":
                raise ConfigurationError(
                    f"the bucket {self.bucket} on {self._where} is another's; set DUBLINE_S3_BUCKET"
                ) from error
            if _code(error) != "BucketAlreadyOwnedByYou":  # somebody of ours was faster
                raise

    def check(self) -> None:
        """Race conditional requests against each other: every commit rests on exactly one winner.

        Raises:
            StoreRefused: a race had no winner or several, or a condition was ignored.
        """
        race(self, self._where)

    def _locate(self, address: str) -> Any:
        if not address.startswith("s3://"):
            return {"Bucket": self.bucket, "Key": address}
        bucket, _, key = address.removeprefix("s3://").partition("/")
        return {"Bucket": bucket, "Key": key}

    @contextmanager
    def _translated(self, address: str) -> Iterator[None]:
        """The one door for botocore's exceptions."""
        try:
            yield
        except ClientError as error:
            raise self._error(address, error) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise ConfigurationError(
                f"there are no credentials for {self._where} ({error}); set DUBLINE_S3_ACCESS_KEY and "
                "DUBLINE_S3_SECRET_KEY, or give AWS's own"
            ) from error
        except ParamValidationError as error:
            if address.startswith("s3://"):
                raise InputNotFound(f"{address} is no address that S3 can have: {error}") from error
            raise ConfigurationError(
                f"{self.bucket} is not a bucket's name; set DUBLINE_S3_BUCKET"
            ) from error
        except (BotoCoreError, boto3.exceptions.Boto3Error) as error:
            raise StoreUnavailable(f"{self._where} did not answer for {address}: {error}") from error

    def _error(self, address: str, error: ClientError) -> DublineError:
        code = _code(error)
        if code == "NoSuchBucket" and not address.startswith("s3://"):
            return ConfigurationError(
                f"there is no bucket {self.bucket} on {self._where}; `dubline doctor` makes it, or set DUBLINE_S3_BUCKET"
            )
        if code == "NoSuchBucket":
            return InputNotFound(f"{address}: there is no such bucket on {self._where}")
        if code in _IMPOSSIBLE and address.startswith("s3://"):
            return InputNotFound(
                f"{address}: {self._where} takes this for no address ({code}); copy the object to a plain key"
            )
        if code in _MISSING:
            return InputNotFound(f"{address} does not exist on {self._where}")
        if code in _CREDENTIALS:
            return ConfigurationError(
                f"{self._where} refuses the credentials ({code}); set DUBLINE_S3_ACCESS_KEY and DUBLINE_S3_SECRET_KEY"
            )
        if code in _FORBIDDEN:
            refusal = f"{address}: {self._where} refuses access; grant this key to Dubline's credentials"
            return (InputForbidden if address.startswith("s3://") else ConfigurationError)(refusal)
        if code in _CHANGED:
            return InputChanged(f"{address} was replaced after it was submitted; submit it again")
        return StoreUnavailable(f"{self._where} failed for {address}: {code}")


def _client(settings: Settings, endpoint: str | None) -> "S3Client":
    secret = settings.s3_secret_key
    access = settings.s3_access_key
    loopback = urlsplit(endpoint or "").hostname in {"127.0.0.1", "::1", "localhost"}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 4},
        connect_timeout=5,
        read_timeout=60,  # the loser of a conditional put has been seen to wait 7 s for its 412
        max_pool_connections=64,
        proxies={} if loopback else None,  # a company's HTTP_PROXY does not reach this machine
        signature_version="s3v4",  # without it, addresses for others would carry the signature of 2006
        s3={"addressing_style": "path" if endpoint else "auto"},
    )
    try:
        return boto3.session.Session(botocore_session=_session()).client(
            "s3",
            endpoint_url=endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=access.get_secret_value() if access else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=config,
        )
    except (ValueError, BotoCoreError) as error:
        raise ConfigurationError(
            f"there is no S3 client for these settings: {error}; see DUBLINE_S3_*"
        ) from error


def _session() -> botocore.session.Session:
    """One that reads the moments of a listing quickly: botocore's own way is two thirds of what a listing costs."""
    session = botocore.session.Session()
    session.get_component("response_parser_factory").set_parser_defaults(timestamp_parser=_moment)
    return session


def _moment(said: Any) -> datetime:
    try:
        return datetime.fromisoformat(said)
    except (TypeError, ValueError):  # headers have them in words
        moment: datetime = parse_timestamp(said)
        return moment


class _Watched(io.FileIO):
    """A file that tells how much of it was read."""

    def __init__(self, path: Path, advance: Advance) -> None:
        super().__init__(path, "rb")
        self._advance = advance

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(-1 if size is None else size)
        self._advance(len(data))
        return data


def _lost_condition(error: ClientError) -> bool | None:
    """False: the condition of a put or delete does not hold. None: another request was in the way, ask again.

    Raises:
        ClientError: it was something else.
    """
    if _code(error) in _CHANGED | _MISSING:  # AWS says of a key without an object that it is missing
        return False
    if _code(error) in _CONFLICT:
        return None
    raise error


def _hexadecimal(checksum: str) -> str | None:
    """An S3 checksum as a digest; None for one of parts ("...-7"), which is not the content's own."""
    return b64decode(checksum).hex() if checksum and "-" not in checksum else None


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


@contextmanager
def _disk(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, BotoCoreError):  # some of botocore's own are OSErrors too: timeouts, TLS
        raise
    except OSError as error:
        raise DiskFull(f"{path.name} cannot be written or read: {error.strerror}; free the disk") from error
