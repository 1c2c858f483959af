"""Every exception that pybench raises on purpose.

`cli.py` turns them into one line and an exit status.

PybenchError
|-- UsageError            the command line, a spec, a campaign file: exit status 2
|   `-- PreflightError    this machine cannot run what was asked: too few files, ports, threads
|-- ProtocolError         the load server said something that the protocol does not allow
|-- ServerError           the load server answered `error code=... msg=...`, or did not start
|-- WorkerError           the worker ended, hung or reported a failure
|-- BackendFault          a backend breaks the contract; an AssertionError too, see `testing.py`
|-- OutputError           a round was measured and cannot be kept in its file
|-- Inconclusive          the machine is too noisy to tell whether a demand is kept
`-- ResultFormatError     a results file that cannot be read
    `-- EmptyHistogram    a percentile was asked of no samples
"""


class PybenchError(Exception):
    """Base of all. The message is one line that names what was wrong and what to do about it."""


class UsageError(PybenchError):
    """What was asked for is not valid: exit status 2."""


class PreflightError(UsageError):
    """This machine cannot run what was asked; the message has the number and the remedy."""


class ProtocolError(PybenchError):
    """The load server's reply breaks the control protocol."""


class ServerError(PybenchError):
    """The load server refused or ended a test.

    code: the server's own word (`busy`, `forbidden`, `refused`, ...), or `unreachable` when the
    control connection itself failed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class WorkerError(PybenchError):
    """The worker failed.

    code: what went wrong, one of `worker.protocol.Code`.  hung: it had to be killed.
    exceptions: names of the classes of what the backend raised, as in `worker.protocol.Failed`.
    details: the backend's own traceback, empty when there is none.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "raised",
        exceptions: tuple[str, ...] = (),
        hung: bool = False,
        details: str = "",
    ) -> None:
        super().__init__(message)
        self.code = "hung" if hung else code
        self.exceptions = exceptions
        self.hung = hung
        self.details = details


class BackendFault(PybenchError, AssertionError):
    """A backend breaks the contract of `backends.contract`.

    The message has several lines: what was asked of the backend, then a line for each finding,
    and below it the backend's own traceback when it raised.  checks: the names of the checks that
    it failed.
    """

    def __init__(self, message: str, checks: tuple[str, ...]) -> None:
        super().__init__(message)
        self.checks = checks


class OutputError(PybenchError):
    """The results file takes no more lines, the disk is full: what it ends is not measured on.

    results: what had been measured by then, the rounds that are not in the file among them; None
    where the command line shows them.
    """

    results: object = None


class Inconclusive(PybenchError):
    """Whether a demand on a ratio is kept cannot be told from what was measured."""


class ResultFormatError(PybenchError):
    """A results file is not readable as one; the message names file and line."""


class EmptyHistogram(ResultFormatError):
    """A percentile of no samples does not exist."""
