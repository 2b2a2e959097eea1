"""The settings of object stores. What is not set here comes from the environment, as the provider's own tools have it."""

from pathlib import Path

from pydantic import Field, SecretStr, model_validator

from topline.config import Settings

SCHEMES = ("s3", "gs", "az")
_REFERENCE = "by reference (`${env:NAME}` or `${file:/path}`)"


class ObjectStores(Settings):
    """How to reach the stores that the tables' paths name."""

    endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^/]+(/.*)?$",
        description="URL of the store, where it is not the provider's own (MinIO, Ceph, R2, a proxy). `http://` only where the "
        "network between is yours.",
    )
    region: str | None = Field(None, description="s3: the bucket's region. Default: AWS_REGION, or us-east-1.")
    access_key: SecretStr | None = Field(None, description=f"s3: id of the access key, {_REFERENCE}.")
    secret_key: SecretStr | None = Field(None, description=f"s3: the access key's secret, {_REFERENCE}.")
    session_token: SecretStr | None = Field(None, description=f"s3: token of a temporary key, {_REFERENCE}.")
    service_account: Path | None = Field(None, description="gs: JSON file of the service account.")
    account: str | None = Field(None, description="az: name of the storage account.")
    account_key: SecretStr | None = Field(None, description=f"az: its key, {_REFERENCE}.")
    anonymous: bool = Field(False, description="Ask without credentials, for public buckets.")
    silence: float = Field(
        10.0,
        ge=1,
        description="Seconds for which the store may say nothing amid an answer. A whole answer may take six times as long; "
        "what does not come within that is asked for in smaller parts.",
    )
    ca: Path | None = Field(None, description="PEM file of an authority to trust beside the system's.")

    @model_validator(mode="after")
    def _whole_keys(self) -> "ObjectStores":
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together")
        if self.anonymous and (self.access_key or self.account_key or self.service_account):
            raise ValueError("anonymous asks without credentials: remove them, or it")
        return self
