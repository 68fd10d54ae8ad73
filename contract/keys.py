"""Where everything lives in the bucket. Nothing else in Dubline builds a key."""

BATCHES = "batches/"
JOBS = "jobs/"
INPUTS = "inputs/"
OUTPUTS = "outputs/"
PREPARED = "prepared/"
DEAD = "dead/"
ARRIVING = f"{INPUTS}incoming/"
REPEATS = "repeats/"


def rows(batch: str) -> str:
    """The submission: one JSON row a line, put once."""
    return f"{BATCHES}{batch}/rows.jsonl"


def summary(batch: str) -> str:
    """Counts of an ended batch; derived, and the feeder's sign that nothing is left to publish."""
    return f"{BATCHES}{batch}/summary.json"


def manifest(job: str) -> str:
    """The commit: put once, for success, failure and cancel alike."""
    return f"{JOBS}{job}/manifest.json"


def attempt(job: str, attempt: str, name: str) -> str:
    """A file of one attempt: never shared, and of no meaning unless the manifest names it."""
    return f"{JOBS}{job}/attempts/{attempt}/{name}"


def attempts(job: str) -> str:
    """The folder of all attempts at a job."""
    return f"{JOBS}{job}/attempts/"


def uploaded(sha256: str, suffix: str) -> str:
    """A local input by its content. `suffix` has its dot, in lower case."""
    return f"{INPUTS}{sha256}{suffix}"


def arriving(token: str, suffix: str) -> str:
    """Where an upload through the API lies until its content is known."""
    return f"{ARRIVING}{token}{suffix}"


def direct(token: str, suffix: str) -> str:
    """Where a client of the API puts a file itself, and where it stays."""
    return f"{INPUTS}direct/{token}{suffix}"


def repeat(owner: str, key: str) -> str:
    """What was asked, and then what was answered, under an Idempotency-Key; both names are digests."""
    return f"{REPEATS}{owner}/{key}.json"


def output(batch: str, row: str, suffix: str = ".mp4") -> str:
    """A copy under the row's own name, for people who browse the bucket."""
    return f"{OUTPUTS}{batch}/{row}{suffix}"


def prepared(entry: str, name: str = "") -> str:
    """Prepared frames of one source: a cache, which may be emptied at any time. Without a name: their folder."""
    return f"{PREPARED}{entry}/{name}"


def cancelled(batch: str) -> str:
    """The wish to cancel rows of a batch, all of them or those it names; put by a person, acted on by the feeder."""
    return f"{BATCHES}{batch}/cancel.json"


def requeued(batch: str) -> str:
    """When rows of a batch were last requeued, in words that never were there before: feeders read it from its start again.

    Put after the manifests are deleted and before the summary is, so that no feeder closes the batch over them.
    """
    return f"{BATCHES}{batch}/requeued.json"


def log(job: str, attempt: str) -> str:
    """What an attempt said, one JSON object a line; the only trace of one that failed and was tried again."""
    return f"{JOBS}{job}/attempts/{attempt}/log.jsonl"


def segments(job: str, name: str = "") -> str:
    """Finished parts of a long job, for the attempt that goes on from them. Without a name: their folder."""
    return f"{JOBS}{job}/segments/{name}"


def dead(batch: str, row: str = "") -> str:
    """The index of a batch's failed rows: one small object each. Without a row: its folder."""
    return f"{DEAD}{batch}/{row}"
