"""Secrets are cut out of what a server says, before it is shown: it may repeat what it was sent."""

import json
from collections.abc import Iterable
from urllib.parse import quote_plus


def hidden(text: str, secrets: Iterable[str]) -> str:
    """`text` without the secrets, as they are, in a query, or in JSON."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        for form in {secret, quote_plus(secret), json.dumps(secret)[1:-1]}:
            text = text.replace(form, "***")
    return text
