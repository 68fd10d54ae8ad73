"""Everything that can go wrong, as one tree. The branch decides whether a job is tried again.

    DublineError
    ├── ConfigurationError        configuration        a setting, a credential or a service is wrong: a person must act
    │   └── StoreRefused          store_refused        the store fails the conditional-put test
    ├── InputRejected             input_rejected       the request or its media: never tried again
    │   ├── BadRequest            bad_request          rows of a CSV that cannot become jobs
    │   ├── BatchConflict         batch_conflict       a batch of that name holds other rows
    │   ├── NotFound              not_found            no such batch or job
    │   ├── InputNotFound         input_not_found      nothing lies at the key or URL
    │   ├── InputForbidden        input_forbidden      the store, or the URL's server, refuses to let it be read
    │   ├── InputChanged          input_changed        the object is not the one that was submitted
    │   ├── SourceUnsupported     source_unsupported   a kind of address this version does not fetch
    │   ├── NoPartner             no_partner           half a pair in a drop folder
    │   ├── UrlForbidden          url_forbidden        a URL that leads to where nothing may be reached
    │   ├── EmptyInput            input_empty          zero bytes
    │   ├── NotMedia              not_media            not a media file, or one without its index (moov)
    │   ├── FormatForbidden       format_forbidden     a playlist, a concat script, or a codec off the list
    │   ├── NoVideo               no_video             no video stream, or none of its frames decodes
    │   ├── NoAudio               no_audio             no audio stream, or none of its samples decodes
    │   ├── AudioTooShort         audio_too_short      under 40 ms, one output frame
    │   ├── NoFace                no_face              no frame of the source shows a usable face
    │   ├── TimestampGap          timestamp_gap        frames that lie further apart than a video's do
    │   ├── InputTooLarge         input_too_large      bytes, pixels or seconds over the configured limit
    │   ├── DecodeLimit           decode_limit         decoding ran into its memory, CPU or wall-clock bound
    │   ├── Unauthenticated       unauthenticated      the HTTP API was given no key, or none that it knows
    │   ├── RequestForbidden      request_forbidden    a web page of elsewhere, or a name this server does not go by
    │   ├── MethodNotAllowed      method_not_allowed   this address of the API has other methods
    │   ├── RepeatDiffers         repeat_differs       an Idempotency-Key comes again with another request
    │   ├── NotReady              not_ready            the job has nothing of that kind, or not yet
    │   └── RangeUnsatisfiable    range_unsatisfiable  bytes that lie behind the end of a file
    ├── TemporaryFailure          temporary_failure    not the input's fault: tried again
    │   ├── StoreUnavailable      store_unavailable    S3 is away, slow or throttling
    │   ├── BrokerUnavailable     broker_unavailable   Redis is away
    │   ├── HostUnavailable       host_unavailable     the container engine of a host of workers is away
    │   ├── SourceUnavailable     source_unavailable   the server of a URL is away, slow or breaks off
    │   ├── Preempted             preempted            this worker is being stopped: another goes on
    │   ├── ResourceExhausted     resource_exhausted   memory of the worker
    │   │   └── DiskFull          disk_full            its disk
    │   ├── EngineFailed          engine_failed        the engine or its device failed
    │   ├── Stalled               stalled              nothing moved for long, and the attempt was ended
    │   ├── TimeLimit             time_limit           the attempt took longer than it may
    │   ├── TooManyRequests       too_many_requests    a key asks the HTTP API more often than it may
    │   └── WorkerLost            worker_lost          attempts that ended without a word: the job ends its workers
    ├── Cancelled                 cancelled            a person cancelled the job
    └── LeaseLost                 lease_lost           another worker holds the job now: stop, say nothing

A message states the fact, the place and the remedy. The code is stable: scripts and manifests rely on it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


class DublineError(Exception):
    """Base of all errors that Dubline raises on purpose."""

    code: ClassVar[str] = "dubline"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ConfigurationError(DublineError):
    """A setting, a credential or a service is wrong: a person must act."""

    code = "configuration"


class StoreRefused(ConfigurationError):
    """The store does not keep the promise that the commit rests on."""

    code = "store_refused"


class InputRejected(DublineError):
    """The request or its media cannot be rendered, now or later."""

    code = "input_rejected"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one line of a CSV."""

    line: int
    """Where the row starts: a physical line of the file, from 1."""
    message: str
    code: str = "bad_request"

    def __str__(self) -> str:
        return f"line {self.line}: {self.message}"


class BadRequest(InputRejected):
    """Rows of a CSV that cannot become jobs; `faults` lists each with its line."""

    code = "bad_request"

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class BatchConflict(InputRejected):
    """A batch of that name exists and holds other rows."""

    code = "batch_conflict"


class NotFound(InputRejected):
    """No such batch or job."""

    code = "not_found"


class InputNotFound(InputRejected):
    """Nothing lies at the key or URL."""

    code = "input_not_found"


class InputForbidden(InputRejected):
    """The store, or the server of the URL, refuses to let it be read."""

    code = "input_forbidden"


class InputChanged(InputRejected):
    """The object is not the one that was submitted."""

    code = "input_changed"


class SourceUnsupported(InputRejected):
    """A kind of address that this version does not fetch."""

    code = "source_unsupported"


class NoPartner(InputRejected):
    """Half a pair in a drop folder, whose other half does not come."""

    code = "no_partner"


class UrlForbidden(InputRejected):
    """A URL, or a redirect of it, leads to where nothing may be reached: an inside address, another port or scheme."""

    code = "url_forbidden"


class EmptyInput(InputRejected):
    """A file of zero bytes."""

    code = "input_empty"


class NotMedia(InputRejected):
    """Not a media file, or one without its index."""

    code = "not_media"


class FormatForbidden(InputRejected):
    """A playlist, a concat script, or a container or codec that is not on the list."""

    code = "format_forbidden"


class NoVideo(InputRejected):
    """No video stream, or none of its frames decodes."""

    code = "no_video"


class NoAudio(InputRejected):
    """No audio stream, or none of its samples decodes."""

    code = "no_audio"


class AudioTooShort(InputRejected):
    """Less audio than one output frame."""

    code = "audio_too_short"


class NoFace(InputRejected):
    """No frame of the source shows a usable face."""

    code = "no_face"


class TimestampGap(InputRejected):
    """Two frames lie further apart than a video's do."""

    code = "timestamp_gap"


class InputTooLarge(InputRejected):
    """Bytes, pixels or seconds over the configured limit."""

    code = "input_too_large"


class DecodeLimit(InputRejected):
    """Decoding ran into its memory, CPU or wall-clock bound."""

    code = "decode_limit"


class Unauthenticated(InputRejected):
    """The HTTP API was given no key, or none that it knows."""

    code = "unauthenticated"


class RequestForbidden(InputRejected):
    """A web page of elsewhere asks, or somebody calls this server by a name that is not its own."""

    code = "request_forbidden"


class MethodNotAllowed(InputRejected):
    """This address of the API has other methods."""

    code = "method_not_allowed"


class RepeatDiffers(InputRejected):
    """An Idempotency-Key comes again with another request."""

    code = "repeat_differs"


class NotReady(InputRejected):
    """The job has nothing of that kind, or not yet."""

    code = "not_ready"


class RangeUnsatisfiable(InputRejected):
    """Bytes that lie behind the end of a file."""

    code = "range_unsatisfiable"


class TemporaryFailure(DublineError):
    """Not the input's fault: the job is tried again."""

    code = "temporary_failure"
    retryable = True


class StoreUnavailable(TemporaryFailure):
    """S3 is away, slow or throttling."""

    code = "store_unavailable"


class BrokerUnavailable(TemporaryFailure):
    """Redis is away."""

    code = "broker_unavailable"


class HostUnavailable(TemporaryFailure):
    """The container engine of a host of workers is away, or does not serve."""

    code = "host_unavailable"


class SourceUnavailable(TemporaryFailure):
    """The server of a URL is away, slow or breaks off. It is a stranger's, so the job's attempts are counted."""

    code = "source_unavailable"


class ResourceExhausted(TemporaryFailure):
    """The worker's memory is full."""

    code = "resource_exhausted"


class DiskFull(ResourceExhausted):
    """The worker's disk is full, or cannot be written: the job is not to blame."""

    code = "disk_full"


class EngineFailed(TemporaryFailure):
    """The engine or its device failed."""

    code = "engine_failed"


class Preempted(TemporaryFailure):
    """This worker is being stopped; another goes on with the job."""

    code = "preempted"


class Stalled(TemporaryFailure):
    """Nothing moved for long, and the attempt was ended."""

    code = "stalled"


class TimeLimit(TemporaryFailure):
    """The attempt took longer than it may."""

    code = "time_limit"


class TooManyRequests(TemporaryFailure):
    """A key asks the HTTP API more often than it may."""

    code = "too_many_requests"

    def __init__(self, message: str, after_seconds: float = 1.0) -> None:
        super().__init__(message)
        self.after_seconds = after_seconds


class WorkerLost(TemporaryFailure):
    """Attempts ended without a word: the job ends its workers."""

    code = "worker_lost"


class Cancelled(DublineError):
    """A person cancelled the job."""

    code = "cancelled"


class LeaseLost(DublineError):
    """Another worker holds the job now."""

    code = "lease_lost"


def _classes(root: type[DublineError]) -> list[type[DublineError]]:
    return [root, *(found for child in root.__subclasses__() for found in _classes(child))]


BY_CODE: dict[str, type[DublineError]] = {each.code: each for each in _classes(DublineError)}
"""Every class by its stable code, to raise again what a child process or a manifest reports."""
