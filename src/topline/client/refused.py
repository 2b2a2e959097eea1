"""Problems (RFC 9457) as exceptions."""

from http import HTTPStatus

import httpx2
from pydantic import ValidationError

from topline.answers import Problem


class Refused(Exception):  # noqa: N818 - it says what happened
    """The API answered with a problem. `problem.detail` says what is wrong and what to do; `retry_after`: seconds, where
    another try may help."""

    def __init__(self, problem: Problem, retry_after: int | None) -> None:
        super().__init__(f"{problem.status} {problem.title}: {problem.detail}")
        self.problem, self.retry_after = problem, retry_after


def require_success(answer: httpx2.Response) -> None:
    """Refused where the answer, read whole, is an error."""
    if answer.is_success:
        return
    wait = answer.headers.get("retry-after", "")
    raise Refused(_problem(answer), int(wait) if wait.isdigit() else None)


def _problem(answer: httpx2.Response) -> Problem:
    """Somebody between us and the API may answer too, in another shape."""
    try:
        return Problem.model_validate_json(answer.content)
    except ValidationError:
        known = answer.status_code in {status.value for status in HTTPStatus}
        title = HTTPStatus(answer.status_code).phrase if known else "Unknown"
        return Problem(title=title, status=answer.status_code, detail=answer.text[:500], instance=answer.request.url.path)
