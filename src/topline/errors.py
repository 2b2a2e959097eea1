"""Every error that Topline raises on purpose.

ToplineError
├── UsageError              exit 2: what the user wrote is wrong (configuration, models, arguments)
│   ├── ConfigError
│   └── ModelError          a model that cannot be live: file, line, clause and a hint
├── WorkError               exit 1: the work failed and another try alone does not help
│   ├── TransientError      ... but another try may: retried with backoff
│   ├── SourceHalted        one source stops until a person acts; the others go on
│   │   └── SourceNotReady  ... at the source itself: it is looked at again, and goes on by itself
│   ├── ModelHalted         one model stops (overflow, broken key); the others go on
│   ├── FormatError         bytes or a schema that are not what their format says
│   ├── StateError          the state folder is another project's, newer, damaged or in use
│   │   └── SchemaInUseError  another engine writes the result tables now
│   └── FencedError         another writer owns the result tables
"""


class ToplineError(Exception):
    """Base of all errors raised on purpose. The message says what, which value, what is allowed, what to do."""

    exit_code = 1


class UsageError(ToplineError):
    exit_code = 2


class ConfigError(UsageError):
    pass


class ModelError(UsageError):
    """A model that cannot be live. `path` and `line` (1-based) say where; `hint` says what to write instead."""

    def __init__(self, message: str, *, path: str = "", line: int = 0, hint: str = "") -> None:
        where = f"{path}:{line}: " if path and line else f"{path}: " if path else ""
        super().__init__(f"{where}{message}" + (f"\n  hint: {hint}" if hint else ""))
        self.path, self.line, self.hint = path, line, hint


class WorkError(ToplineError):
    pass


class TransientError(WorkError):
    pass


def out_of_memory(error: BaseException) -> TransientError | None:
    """What is raised where memory cannot be had (Python, Arrow, DuckDB, a thread without a stack) in our words; None: it is
    something else."""
    thread = isinstance(error, RuntimeError) and "can't start new thread" in str(error)
    if not (thread or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException"):
        return None
    return TransientError(
        f"there is not enough memory: {str(error) or type(error).__name__}. Nothing is lost: lift the limit (ulimit -v, the "
        "container's), or have less in memory (engine.batch_rows), then start again"
    )


class SourceHalted(WorkError):  # noqa: N818 - it names a state, as the status page shows it
    pass


class SourceNotReady(SourceHalted):
    pass


class ModelHalted(WorkError):  # noqa: N818
    """`model`: its name, where the one who raises it knows."""

    def __init__(self, message: str, *, model: str = "") -> None:
        super().__init__(message)
        self.model = model


class FormatError(WorkError):
    pass


class StateError(WorkError):
    pass


class SchemaInUseError(StateError):
    pass


class FencedError(WorkError):
    pass
