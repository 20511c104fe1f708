"""What went wrong with the kernel, in the words of the old program."""

from typing import Final

from netledger.compat.conntrack.commands import Command
from netledger.compat.conntrack.request import Request
from netledger.errors import NetledgerError, ObjectNotFoundError, PermissionDeniedError

__all__ = ["words_for"]

_NOT_PERMITTED: Final = "sorry, you must be root or get CAP_NET_ADMIN capability to do this"
_NOT_THERE: Final = "such conntrack doesn't exist"


def words_for(error: NetledgerError, request: Request | None) -> str:
    """The line for an error."""
    match error:
        case PermissionDeniedError():
            words = _NOT_PERMITTED
        case ObjectNotFoundError() if request is not None and request.command in (Command.GET, Command.DELETE):
            words = _NOT_THERE
        case _:
            words = error.cause
    return f"Operation failed: {words}"
