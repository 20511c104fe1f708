"""A log daemon for tests: it keeps what is said."""

from pathlib import Path

from netledger.compat.nacctd.naccttab import Table, parse
from netledger.compat.nacctd.said import Said
from netledger.compat.nacctd.syslog import NAME
from netledger.intervals import SECOND_NS, Moment

NOW = Moment(1_795_186_013 * SECOND_NS, 100 * SECOND_NS)


class Told:
    """What the program has said, without a log daemon."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def tell(self, said: Said, *, ident: str = NAME) -> None:
        self.lines.append((ident, said.text.rstrip("\n")))

    def error(self, text: str, *, ident: str = NAME) -> None:
        self.lines.append((ident, text))

    def warning(self, text: str) -> None:
        self.error(text)

    def info(self, text: str) -> None:
        self.error(text)

    def debug(self, text: str) -> None:
        self.error(text)

    @property
    def texts(self) -> list[str]:
        return [text for _ident, text in self.lines]


def table_in(directory: Path, more: str = "", *, file: str = "log", dump: str = "dump") -> Table:
    text = f"file {directory}/{file}\ndumpfile {directory}/{dump}\ndebugfile /dev/null\nheaders eth 14 12\n{more}"
    table = parse(text.encode()).table
    assert table is not None
    return table
