"""Which rows of two batches can be compared, in which order raters meet them, and which system stands on which side."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from random import Random

from contract.errors import BadRequest
from contract.job import Row
from contract.manifest import Manifest, OutputRecord
from contract.storage import Storage
from producer.ab.study import Letter, Pair, Study, System, Take
from producer.batches import batch_rows, manifests

TOKEN_BYTES = 8

Ended = tuple[Row, Manifest | None]


@dataclass(frozen=True)
class Match:
    """A row that both systems have rendered."""

    row: str
    a: OutputRecord
    b: OutputRecord


@dataclass
class Matches:
    """What can be compared, and what not: rows by the reason."""

    matched: list[Match] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    other_sources: list[str] = field(default_factory=list)
    """Rows whose two sources differ: they are compared all the same."""

    def leave_out(self, reason: str, row: str) -> None:
        """Note why raters will not see a row."""
        self.left_out.setdefault(reason, []).append(row)


def find_matches(storage: Storage, a: System, b: System) -> Matches:
    """The rows that both batches have a video of, made for the same voice.

    Raises:
        NotFound: there is no such batch.
    """
    ours, theirs = (dict(_ended(storage, system.batch)) for system in (a, b))
    matches = Matches()
    for name in sorted(ours.keys() - theirs.keys()):
        matches.leave_out(f"only in batch {a.batch}", name)
    for name in sorted(theirs.keys() - ours.keys()):
        matches.leave_out(f"only in batch {b.batch}", name)
    for name in ours:
        if name in theirs:
            _match(matches, ours[name], theirs[name])
    return matches


def _ended(storage: Storage, batch: str) -> Iterator[tuple[str, Ended]]:
    rows = list(batch_rows(storage, batch))
    for row, manifest in zip(rows, manifests(storage, [row.job.id for row in rows]), strict=True):
        yield row.id, (row, manifest)


def _match(matches: Matches, ours: Ended, theirs: Ended) -> None:
    name, a, b = ours[0].id, _output(ours), _output(theirs)
    if a is None or b is None:
        matches.leave_out("without a video in one batch", name)
    elif _is_other("audio", ours, theirs):
        matches.leave_out("with another audio in each batch", name)
    elif a.sha256 == b.sha256:
        matches.leave_out("with the same bytes from both", name)
    else:
        matches.matched.append(Match(name, a, b))
        if _is_other("video", ours, theirs):
            matches.other_sources.append(name)


def _output(ended: Ended) -> OutputRecord | None:
    manifest = ended[1]
    return manifest.output if manifest and manifest.status == "succeeded" else None


def _is_other(what: str, ours: Ended, theirs: Ended) -> bool:
    """Whether the inputs differ: by the content that was read where both manifests tell of it, else as submitted."""
    read = [getattr(manifest, what) for _, manifest in (ours, theirs)]
    if all(read):
        return bool(read[0].sha256 != read[1].sha256)
    asked = [getattr(row.job, what).identity for row, _ in (ours, theirs)]
    return bool(asked[0] != asked[1])


def draw(matched: Sequence[Match], a: System, b: System, seed: int, limit: int | None) -> Study:
    """A study of the rows, or of `limit` of them drawn at random.

    Order and sides follow from the seed; each system stands on the left as often as the other, or once more. The names
    of files do not follow from it: who guesses the seed still cannot tell them apart.

    Raises:
        BadRequest: there is nothing to compare.
    """
    if not matched:
        raise BadRequest(
            f"batches {a.batch} and {b.batch} have no row that both made a video of, for the same audio; "
            f"`dubline status {a.batch}` and `dubline status {b.batch}` show their rows"
        )
    chance = Random(seed)  # noqa: S311 - a design that can be repeated, not a secret
    rows = sorted(matched, key=lambda each: each.row)
    chance.shuffle(rows)
    rows = rows[:limit]
    sides = _sides(len(rows), chance)
    pairs = tuple(_pair(each, left) for each, left in zip(rows, sides, strict=True))
    return Study(id=_token(), seed=seed, a=a, b=b, pairs=pairs)


def _sides(count: int, chance: Random) -> list[Letter]:
    """Who stands on the left of each pair: half of the time either, so that a liking for one side favours neither."""
    letters: list[Letter] = ["a", "b"]
    chance.shuffle(letters)
    sides = [letters[number % 2] for number in range(count)]
    chance.shuffle(sides)
    return sides


def _pair(match: Match, left: Letter) -> Pair:
    return Pair(id=_token(), row=match.row, left=left, a=_take(match.a), b=_take(match.b))


def _take(output: OutputRecord) -> Take:
    return Take(file=_token(), key=output.key, bytes=output.bytes, sha256=output.sha256)


def _token() -> str:
    return secrets.token_hex(TOKEN_BYTES)
