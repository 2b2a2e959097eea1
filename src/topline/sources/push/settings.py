"""The settings of a push source. docs/configuration.md is generated from the descriptions here."""

from typing import Literal

from pydantic import Field, SecretStr

from topline.config import Settings, ZoneName


class Signature(Settings):
    """How the sender of a webhook signs its bodies."""

    header: str = Field(
        min_length=1, description="Header that carries the signature, such as `X-Hub-Signature-256` (GitHub's)."
    )
    secret: SecretStr = Field(min_length=1, description="What sender and receiver share, by reference: `${env:NAME}`.")
    algorithm: Literal["hmac-sha256", "hmac-sha512"] = Field("hmac-sha256", description="How the body is signed.")
    encoding: Literal["hex", "base64"] = Field("hex", description="How the signature is written.")
    prefix: str = Field("", description="What stands before the signature, such as `sha256=`.")
    scheme: Literal["body", "timestamped"] = Field(
        "body",
        description="`body`: the body is signed. `timestamped`, as Stripe does: the header is `t=SECONDS,v1=SIGNATURE`, "
        "`SECONDS.BODY` is signed, and a time more than five minutes away is refused.",
    )


class PushTable(Settings):
    """What may be sent into one table."""

    on_unknown: Literal["refuse", "ignore"] = Field(
        "refuse", description="A field that the table does not declare: refuse the request, or ignore the field."
    )
    on_invalid: Literal["refuse", "keep"] = Field(
        "refuse",
        description="A record that is no row of the table: refuse the request, or keep the record as a dead letter and accept "
        "the others (for senders that never send again).",
    )
    signature: Signature | None = Field(None, description="Only requests that are signed so are let in.")


class PushSettings(Settings):
    """An inbox that `POST /api/v1/ingest/SOURCE.TABLE` fills."""

    kind: Literal["push"] = Field("push", description="This kind of source.")
    time_zone: ZoneName = Field("UTC", description="Zone (IANA name) of times that carry none.")
    max_body_bytes: int = Field(
        16 << 20, ge=1024, le=1 << 28, description="Largest body of one request, unpacked; a larger one is answered with 413."
    )
    max_waiting_rows: int = Field(
        1_000_000, ge=1, description="Once so many rows wait for the engine, requests are answered with 429."
    )
    max_waiting_bytes: int = Field(
        256 << 20, ge=1024, description="Once so many bytes wait for the engine, requests are answered with 429."
    )
    idempotency_hours: float = Field(
        48.0, gt=0, le=24 * 365, description="How long an Idempotency-Key is remembered, with the answer that it got."
    )
    tables: dict[str, PushTable] = Field(
        default_factory=dict, description="Table (as declared in the models' sources) -> settings that are not the default."
    )
