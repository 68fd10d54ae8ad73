"""One validated object. Read once, at the top of a process, from DUBLINE_* and a TOML file."""

import os
import sys
import tomllib
from base64 import b64decode
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, StringConstraints, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from contract.address import AddressFault, RedisAddress
from contract.errors import ConfigurationError
from contract.job import EngineName

PREFIX = "DUBLINE_"
CONFIG_VARIABLE = PREFIX + "CONFIG"
GIB = 2**30
WEBHOOK_PREFIX = "whsec_"
WEBHOOK_BYTES = range(24, 65)
"""As Standard Webhooks has them."""

EncoderChoice = Literal["auto", "x264", "nvenc"]
LogFormat = Literal["text", "json"]


def _words(value: object) -> object:
    return value.replace(",", " ").split() if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_words)]
"""Several words; in the environment one string, parted by commas or blanks."""


class Settings(BaseSettings):
    """Every knob. The environment wins over the file that DUBLINE_CONFIG names, the file over these defaults.

    An empty variable is as none: what hands variables on can often not leave one out.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    # Broker and ledger
    redis_url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    namespace: str = "dubline"
    """Prefix of every Redis key, so that deployments can share one server."""

    # Store. Empty credentials mean AWS's own chain: environment, profile, instance role.
    s3_endpoint: str | None = None
    """None for AWS."""
    s3_public_endpoint: str | None = None
    """Where those find the store who are given an address of it, browsers above all; None: at `s3_endpoint`, too."""
    s3_region: str = "us-east-1"
    s3_bucket: str = "dubline"
    s3_access_key: SecretStr | None = None
    s3_secret_key: SecretStr | None = None
    list_page_keys: Annotated[int, Field(ge=1, le=100_000)] = 1000
    """Keys asked for in one listing call. AWS never gives more than 1,000; SeaweedFS gives 10,000."""

    # Drop folder
    drop: Annotated[str, StringConstraints(pattern=r"^s3://[^/]+/.+$")] | None = None
    """What `dubline watch` looks at and `dubline status` tells of: s3://bucket/folder/."""
    drop_queue_url: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+/.+$")] | None = None
    """An SQS queue that the bucket's events go to: a message means to look at once."""
    drop_single_seconds: Annotated[float, Field(gt=0)] = 3600.0
    """A video or an audio that has waited so long for its partner is reported."""

    # Jobs
    engine: EngineName = "preview"
    """The engine of rows that name none."""
    fleet_size: Annotated[int, Field(ge=1)] = 1
    """Workers expected; the feeder keeps twice as many jobs in the queue."""
    lease_seconds: Annotated[float, Field(gt=0)] = 25.0
    """A job whose worker says nothing for so long is given to another: 5 s later it runs again."""
    attempts: Annotated[int, Field(ge=1)] = 3
    """Attempts of one job before its failure is committed."""
    lost_attempts: Annotated[int, Field(ge=1)] = 8
    """Workers that may die over one job, whoever's fault it was, before its failure is committed."""
    infrastructure_seconds: Annotated[float, Field(gt=0)] = 24 * 3600.0
    """For so long a job waits for Redis and the store to serve it, then its failure is committed."""
    time_limit_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 3600.0
    """A child that works longer on one job is killed and replaced; rows may name another limit."""
    sweep_days: Annotated[float, Field(ge=0)] = 7.0
    """Files that no result needs are removed when they are older; 0: never."""
    pin_limit: Annotated[int, Field(ge=0)] = 2000
    """Up to this many s3:// inputs, `submit` checks each and pins its ETag."""

    # Inputs
    allow_http: bool = False
    """URLs may be http://, too: whoever sits in between reads and changes what they bring."""
    url_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1800.0
    """Longest time that the fetching of one URL may take."""
    max_input_bytes: Annotated[int, Field(gt=0)] = 16 * GIB
    max_pixels: Annotated[int, Field(gt=0)] = 4096 * 2304
    max_seconds: Annotated[float, Field(gt=0)] = 4 * 3600.0
    decode_memory_bytes: Annotated[int, Field(gt=0)] = 4 * GIB
    """RLIMIT_AS of the process that decodes."""
    decode_cpu_seconds: Annotated[int, Field(gt=0)] = 4 * 3600
    decode_stall_seconds: Annotated[float, Field(gt=0)] = 60.0
    """Longest wait for the next frame before the decoder is ended."""

    # Worker
    grace_seconds: Annotated[float, Field(ge=0)] = 20.0
    """From SIGTERM until a running job is handed back."""
    spot_notices: bool = False
    """Ask EC2's metadata whether this machine is about to be taken away."""
    scratch: Path | None = None
    """Folder of the staged inputs and the one output; None: the system's temporary folder."""
    weights: Path = Path("~/.cache/dubline/weights")
    prepared: Path = Path("~/.cache/dubline/prepared")
    """Folder of what engines know of source frames before they hear a sound, kept for other jobs."""
    prepared_bytes: Annotated[int, Field(ge=0)] = 20 * GIB
    """Most that lies there, least recently used go first; 0 keeps nothing, here or in the bucket."""
    encoder: EncoderChoice = "auto"
    """auto: NVENC where it proves to work when the process sets up, else x264. Each gives its own bytes."""
    require_gpu: bool = False
    """A worker that sees no GPU ends at once, and does not work on its CPU for a GPU's price."""
    gpu_locks: Path | None = None
    """Folder that this machine's workers share: each takes one GPU there, and uses that alone. None: the first GPU."""
    threads: Annotated[int, Field(ge=1)] = 4
    """Threads of the encoder. Fixed, not the machine's: x264's bytes depend on it."""

    # Price of one worker, for the manifest and for estimates
    price_per_hour: Annotated[float, Field(ge=0)] = 1.006
    currency: str = "USD"

    # HTTP API
    api_keys: Path | None = None
    """File of the keys' hashes, written by `dubline keys`; None or no key in it: loopback only."""
    api_rate_per_minute: Annotated[int, Field(ge=1)] = 600
    """Requests of one key."""
    api_origins: Words = ()
    """Other web origins whose pages may call the API."""
    api_trusted: Words = ()
    """Addresses that count as this machine where there are no keys: of a container's gateway, say."""
    api_buckets: Words = ()
    """Buckets whose objects a key may name as inputs, beside what it uploads; without keys: any."""

    # Webhooks
    webhook_secret: SecretStr | None = None
    """Signs what is posted, and lets receivers know it: whsec_ and 24 to 64 bytes in base64."""

    # Seeing it run
    metrics_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    """Where API, feeder, watcher, worker and fleet serve /metrics to Prometheus; None: nowhere."""
    metrics_host: str = "127.0.0.1"
    """The address that it listens on; in a container 0.0.0.0. Whoever reaches it reads figures, and no names."""
    log_format: LogFormat = "text"
    """json: one object a line, with batch, row, job and attempt where a line is about one."""
    otlp_endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[^/]+")] | None = None
    """Of a collector of traces, as http://collector:4318; None: there are no traces."""
    trace_ratio: Annotated[float, Field(ge=0, le=1)] = 1.0
    """Of all rows so many are traced; every process picks the same ones."""

    # Flower
    flower_user: str = "dubline"
    flower_password: SecretStr | None = None

    @field_validator("redis_url")
    @classmethod
    def _leads_to_redis(cls, url: SecretStr) -> SecretStr:
        try:
            RedisAddress.parse(url.get_secret_value())
        except AddressFault as error:
            raise ValueError(
                f"{error}; it must be redis://:password@host:6379/0, rediss://...?ssl_ca_certs=FILE or "
                "sentinel://host:26379;sentinel://host2:26379/0?master=NAME, user and password percent-encoded"
            ) from None
        return url

    @field_validator("api_trusted")
    @classmethod
    def _are_addresses(cls, addresses: tuple[str, ...]) -> tuple[str, ...]:
        for each in addresses:
            ip_address(each)
        return addresses

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None and not _is_webhook_secret(secret.get_secret_value()):
            raise ValueError(
                "it must be whsec_ and 24 to 64 bytes in base64: "
                'echo "whsec_$(openssl rand -base64 32)" makes one'
            )
        return secret

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is passed, then the environment, then the TOML file."""
        config = os.environ.get(CONFIG_VARIABLE)
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, toml_file=config)

    @classmethod
    def read(cls) -> Self:
        """The settings of this process.

        Raises:
            ConfigurationError: a value is wrong, a DUBLINE_* variable is not a setting, or the file is missing.
        """
        known = {PREFIX + name.upper() for name in cls.model_fields} | {CONFIG_VARIABLE}
        unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)
        if unknown:
            raise ConfigurationError(
                f"{', '.join(unknown)} is not a setting; docs/settings.md lists the settings"
            )
        config = os.environ.get(CONFIG_VARIABLE)
        if config and not Path(config).is_file():
            raise ConfigurationError(f"{CONFIG_VARIABLE} names {config}, which is not a file")
        try:
            return cls()
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{config} is not a TOML file: {error}") from error
        except ValidationError as error:
            faults = "; ".join(
                f"{PREFIX}{'_'.join(map(str, each['loc'])).upper()}: {each['msg'].removeprefix('Value error, ')}"
                for each in error.errors()
            )
            raise ConfigurationError(f"settings are wrong: {faults}") from error

    @classmethod
    def read_or_exit(cls) -> Self:
        """The same for a process that Celery's own command line starts: what is wrong is its last line, and it ends."""
        try:
            return cls.read()
        except ConfigurationError as error:
            sys.exit(f"error [{error.code}]: {error.message}")

    @property
    def price_per_second(self) -> float:
        """Price of one worker's second."""
        return self.price_per_hour / 3600


def _is_webhook_secret(text: str) -> bool:
    try:
        key = b64decode(text.removeprefix(WEBHOOK_PREFIX), validate=True)
    except ValueError:
        return False
    return text.startswith(WEBHOOK_PREFIX) and len(key) in WEBHOOK_BYTES
