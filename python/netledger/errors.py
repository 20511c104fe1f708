"""What can go wrong, as one tree.

    NetledgerError                 subject, operation, cause, hint
    ├── ConfigError                the configuration is refused; all problems at once            exit 2
    ├── UsageError                 the command line is refused                                   exit 2
    ├── SourceError                a mechanism that observes traffic could not do its work       exit 1
    │   ├── GroupBusyError         another socket holds the NFLOG group
    │   ├── InUseError             another process counts for the same meter
    │   ├── NamespaceAbsentError   there is no network namespace of this name
    │   ├── ObjectBusyError        a rule still uses what is to be deleted
    │   ├── ObjectExistsError      what is to be made is there already
    │   ├── ObjectNotFoundError    a named object of the kernel is not there
    │   ├── PermissionDeniedError  a capability is missing
    │   ├── NotSupportedError      this kernel lacks a feature
    │   ├── RulesetError           nft refused, or is not there
    │   ├── TableError             a table file is damaged or of another version
    │   └── UnsteadyError          what the kernel lists changed again and again while it was read
    ├── CaptureError               a capture file cannot be read                                 exit 1
    ├── FactError                  nobody can be booked so: no address, no name, no time         exit 1
    ├── LearnerError               what tells whose an address is cannot be followed
    ├── OldFileError               a file of another program cannot be imported                  exit 1
    ├── LedgerError                the store refuses, is damaged or of another version           exit 1
    │   ├── DamageError            what it holds cannot be what was committed                    exit 1; audit: 4
    │   └── OutdatedError          another process has written about the same thing meanwhile
    ├── QuotaError                 a quota is there already, or there is none of that name       exit 1
    ├── ExportError                an interval could not be written                              exit 1
    └── LiveError                  the running daemon cannot be asked                            exit 1
        └── NotRunningError        none runs here

Every error prints as ``subject: operation: cause``; the hint goes on a line of its own. The native core raises these
very classes.
"""


class NetledgerError(Exception):
    """An error with its parts.

    Attributes:
        subject: what it is about, such as ``nflog group 5``.
        operation: what was tried, such as ``bind``; may be empty.
        cause: why it failed, in the kernel's words where there are any.
        hint: how to mend it, or None.
    """

    def __init__(self, subject: str, operation: str, cause: str, hint: str | None = None) -> None:
        super().__init__(subject, operation, cause, hint)
        self.subject = subject
        self.operation = operation
        self.cause = cause
        self.hint = hint

    def __str__(self) -> str:
        return ": ".join(part for part in (self.subject, self.operation, self.cause) if part)


class UsageError(NetledgerError):
    """The command line asks for something that cannot be."""


class SourceError(NetledgerError):
    """A mechanism that observes traffic could not do its work."""


class GroupBusyError(SourceError):
    """Another socket holds the NFLOG group."""


class InUseError(SourceError):
    """Another process counts for the same meter."""


class NamespaceAbsentError(SourceError):
    """There is no network namespace of the name that a meter is to count in."""


class ObjectBusyError(SourceError):
    """A rule still uses the kernel's object that is to be deleted (EBUSY)."""


class ObjectExistsError(SourceError):
    """The kernel's object that is to be made is there already (EEXIST)."""


class ObjectNotFoundError(SourceError):
    """The kernel has no object of this name in this network namespace (ENOENT)."""


class PermissionDeniedError(SourceError):
    """A capability is missing."""


class NotSupportedError(SourceError):
    """This kernel lacks a feature."""


class RulesetError(SourceError):
    """nft refused what was asked of it, or is not installed."""


class TableError(SourceError):
    """A table file is damaged, or was written by another version."""


class UnsteadyError(SourceError):
    """What the kernel lists changed each time while it was read, so that no list was whole."""


class CaptureError(NetledgerError):
    """A capture file cannot be read."""


class OldFileError(NetledgerError):
    """A file of another program cannot be read, or is not as that program writes it. Nothing of it is imported."""


class FactError(NetledgerError):
    """What is said of an address and its holder cannot be: it is no address, no name or no time."""


class LearnerError(NetledgerError):
    """What tells whose an address is cannot be followed: a file, a directory, a server or the kernel."""


class LedgerError(NetledgerError):
    """The store cannot be written or read, is damaged, or is of another version."""


class DamageError(LedgerError):
    """What the store holds cannot be what was committed."""


class OutdatedError(LedgerError):
    """Another process has written about the same thing since it was read; nothing was written."""


class QuotaError(NetledgerError):
    """There is a quota of this name already, or none, or something else has its name in the kernel."""


class ExportError(NetledgerError):
    """An interval could not be written."""


class LiveError(NetledgerError):
    """The running daemon cannot be asked, or refuses the question."""


class NotRunningError(LiveError):
    """No daemon runs with this runtime directory."""
