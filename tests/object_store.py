"""An S3 server on loopback (moto's), whose answers a test can spoil."""

import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import make_server

Answer = Iterable[bytes]


class ObjectStore:
    """`refuse` is called with the method and path of each request, and says with what status to refuse it, if at all.

    `cut`: so many of the next answers with more than 1,000 bytes lose their connection after the first 1,000.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.port}"
        self.client = boto3.client(
            "s3", endpoint_url=self.url, region_name="us-east-1", aws_access_key_id="id", aws_secret_access_key="secret"
        )
        self.reset()

    def reset(self) -> None:
        """All is well, and no request was made."""
        self.refuse: Callable[[str], str] = _never
        self.cut = 0
        self.requests: list[str] = []

    def put(self, bucket: str, key: str, data: bytes) -> None:
        self.client.put_object(Bucket=bucket, Key=key, Body=data)

    def remove(self, bucket: str, key: str) -> None:
        self.client.delete_object(Bucket=bucket, Key=key)

    def settings(self, **more: Any) -> dict[str, Any]:
        """What a source needs to come here."""
        return {"endpoint": self.url, "access_key": "id", "secret_key": "secret", **more}

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        s3_backends.reset()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Answer:
        if environ.get("HTTP_USER_AGENT", "").startswith("Boto3"):
            return self._app(environ, start)  # type: ignore[no-any-return]
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
        self.requests.append(request)
        if status := self.refuse(request):
            start(status, [("Content-Type", "application/xml")])
            return [b"<Error><Code>Refused</Code><Message>by the test</Message></Error>"]
        whole = b"".join(self._app(environ, start))
        if self.cut and len(whole) > 1000:
            self.cut -= 1
            return _torn(whole)
        return [whole]


def _never(request: str) -> str:
    return ""


def _torn(whole: bytes) -> Iterator[bytes]:
    yield whole[:1000]
    raise ConnectionResetError("torn by the test")
