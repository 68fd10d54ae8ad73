"""Events of a bucket on AWS: an SQS queue, read by long polls. Beside `contract/storage.py` the only file that imports boto3."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from contract.errors import TemporaryFailure
from contract.settings import Settings

logger = logging.getLogger(__name__)

POLL_SECONDS = 20
"""The longest that SQS lets a poll wait."""
BATCH = 10
"""The most that SQS takes in one request."""


class EventQueue:
    """The queue of the setting `drop_queue_url`."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url = url
        access, secret = settings.s3_access_key, settings.s3_secret_key
        host = urlsplit(url)
        self._client: Any = boto3.session.Session().client(
            "sqs",
            endpoint_url=f"{host.scheme}://{host.netloc}",
            region_name=_region(host.hostname or "") or settings.s3_region,
            aws_access_key_id=access.get_secret_value() if access else None,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            config=Config(
                connect_timeout=5, read_timeout=POLL_SECONDS + 10, retries={"total_max_attempts": 1}
            ),
        )

    def receive(self) -> list[str]:
        """Receipts of up to ten messages, waited for.

        Raises:
            TemporaryFailure: SQS is away, or refuses.
        """
        with self._translated():
            reply = self._client.receive_message(
                QueueUrl=self._url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=POLL_SECONDS
            )
        return [each["ReceiptHandle"] for each in reply.get("Messages", ())]

    def delete(self, receipts: Sequence[str]) -> None:
        """Remove these messages.

        Raises:
            TemporaryFailure: SQS is away, or kept some.
        """
        for start in range(0, len(receipts), BATCH):
            some = receipts[start : start + BATCH]
            entries = [{"Id": str(number), "ReceiptHandle": each} for number, each in enumerate(some)]
            with self._translated():
                reply = self._client.delete_message_batch(QueueUrl=self._url, Entries=entries)
            if failed := reply.get("Failed"):
                raise TemporaryFailure(f"{self._url} kept {len(failed)} messages: {failed[0].get('Code')}")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """The one door for botocore's exceptions."""
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise TemporaryFailure(
                f"{self._url} does not answer: {error}; see DUBLINE_DROP_QUEUE_URL"
            ) from error


def _region(host: str) -> str | None:
    """Of sqs.eu-west-1.amazonaws.com: eu-west-1."""
    parts = host.split(".")
    return parts[1] if "amazonaws" in parts and parts[0] == "sqs" else None
