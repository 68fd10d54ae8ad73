"""Which files come in, by their suffix, and as what they are shown. What is in one the worker finds out."""

from pathlib import PurePosixPath

from contract.errors import SourceUnsupported

KINDS = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".qt": "video/quicktime",
    ".mkv": "video/x-matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".ts": "video/mp2t",
    ".mts": "video/mp2t",
    ".m2ts": "video/mp2t",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".3gp": "video/3gpp",
    ".3g2": "video/3gpp2",
    ".mj2": "video/mj2",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".wav": "audio/wav",
    ".wave": "audio/wav",
    ".mp3": "audio/mpeg",
    ".m4a": "audio/mp4",
    ".m4b": "audio/mp4",
    ".aac": "audio/aac",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".oga": "audio/ogg",
    ".opus": "audio/ogg",
    ".mka": "audio/x-matroska",
    ".weba": "audio/webm",
}
"""Nothing that a browser would run."""
UNKNOWN = "application/octet-stream"


def suffix_of(name: str) -> str:
    """The suffix of a file's name, with its dot and in lower case.

    Raises:
        SourceUnsupported: no video, image or sound is called so.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if suffix not in KINDS:
        listed = ", ".join(each.removeprefix(".") for each in KINDS)
        raise SourceUnsupported(f"{name[:200]!r} has no suffix of a video, an image or a sound ({listed})")
    return suffix


def kind_of(name: str) -> str:
    """The media type of what is called so."""
    return KINDS.get(PurePosixPath(name).suffix.lower(), UNKNOWN)
