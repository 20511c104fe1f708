"""Why a command ends before its work is done, in the words and with the exit status of the old program."""

__all__ = ["PROGRAM", "VERSION", "Refusal", "bad_parameter", "not_here", "prefix"]

PROGRAM = "conntrack"
VERSION = "1.4.7"
"""The version whose words these are."""

_USAGE_STATUS = 2
_FAILED_STATUS = 1


class Refusal(Exception):  # noqa: N818 - it says what the program answers; the errors below it are elsewhere
    """The command ends with a line on standard error.

    Attributes:
        text: the line, without the name of the program in front of it.
        status: 2 is a command line that is refused, 1 work that failed.
    """

    def __init__(self, text: str, status: int = _FAILED_STATUS) -> None:
        super().__init__(text)
        self.text = text
        self.status = status

    def lines(self) -> str:
        """What standard error gets."""
        hint = f"Try `{PROGRAM} -h' or '{PROGRAM} --help' for more information.\n"
        return f"{prefix()}{self.text}\n" + (hint if self.status == _USAGE_STATUS else "")


def prefix() -> str:
    """What stands in front of each message."""
    return f"{PROGRAM} v{VERSION} (conntrack-tools): "


def bad_parameter(text: str) -> Refusal:
    """A command line that is refused."""
    return Refusal(text, _USAGE_STATUS)


def not_here(what: str) -> Refusal:
    """Something that the old program has and this one has not: it is named, never passed over."""
    return bad_parameter(f"{what} is not supported by netledger")
