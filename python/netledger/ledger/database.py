"""``ledger.sqlite``: which files and intervals count. Its tables, and how an older one is brought to this version.

What changes what was counted is refused by the database itself: an interval is added once, and never changed or taken
out. That guards against mistakes; against intent there is the chain (:mod:`netledger.ledger.digest`).
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from netledger.durable import inherit_owner
from netledger.errors import LedgerError

NAME: Final = "ledger.sqlite"
_making = threading.Lock()
MODE: Final = 0o640
_BUSY_SECONDS: Final = 30.0
_WAL_PAGES: Final = 64

_VERSION_1: Final = """
CREATE TABLE files (
    id             INTEGER PRIMARY KEY,
    tab            TEXT    NOT NULL,            -- what kind of rows: traffic, or the name of a rollup
    day            TEXT    NOT NULL,            -- UTC day in which its intervals begin, 2026-11-20
    path           TEXT    NOT NULL UNIQUE,     -- below the store
    rows           INTEGER NOT NULL,
    octets         INTEGER NOT NULL,
    sha256         BLOB    NOT NULL,            -- of the whole file
    interval_start INTEGER NOT NULL,            -- the least of its rows, UTC nanoseconds since 1970
    interval_end   INTEGER NOT NULL,            -- the greatest of its rows
    committed_at   INTEGER NOT NULL,
    dropped_at     INTEGER                      -- it does not count any more: compacted, or too old
);
CREATE INDEX files_live ON files (tab, day) WHERE dropped_at IS NULL;
CREATE INDEX files_dropped ON files (dropped_at) WHERE dropped_at IS NOT NULL;

CREATE TABLE intervals (
    node           TEXT    NOT NULL,
    meter          TEXT    NOT NULL,
    seq            INTEGER NOT NULL,
    interval_start INTEGER NOT NULL,            -- UTC nanoseconds since 1970; belongs to the interval
    interval_end   INTEGER NOT NULL,            -- belongs to the next one
    status         TEXT    NOT NULL,
    rows           INTEGER NOT NULL,
    receipt        TEXT    NOT NULL,            -- the whole receipt as JSON; counters have 64 bits without a sign
    digest         BLOB    NOT NULL,            -- SHA-256 of the rows
    position       INTEGER NOT NULL,            -- in the chain of its node, from 1
    previous       BLOB    NOT NULL,            -- chain of the node's interval before
    chain          BLOB    NOT NULL,            -- SHA-256 of previous, receipt and digest
    committed_at   INTEGER NOT NULL,
    PRIMARY KEY (node, meter, seq),
    UNIQUE (node, position)
) WITHOUT ROWID;
CREATE INDEX intervals_start ON intervals (interval_start);

CREATE TABLE chains (                           -- where each node's chain ends
    node           TEXT    PRIMARY KEY,
    position       INTEGER NOT NULL,
    chain          BLOB    NOT NULL
) WITHOUT ROWID;

CREATE TABLE exports_due (                      -- committed, and not exported yet
    node           TEXT    NOT NULL,
    meter          TEXT    NOT NULL,
    seq            INTEGER NOT NULL,
    PRIMARY KEY (node, meter, seq)
) WITHOUT ROWID;

CREATE TABLE days_dropped (                     -- whose rows retention has removed; their receipts stay
    tab            TEXT    NOT NULL,
    day            TEXT    NOT NULL,
    dropped_at     INTEGER NOT NULL,
    PRIMARY KEY (tab, day)
) WITHOUT ROWID;

CREATE TRIGGER intervals_stay BEFORE DELETE ON intervals
    BEGIN SELECT raise(ABORT, 'an interval is never taken out'); END;
CREATE TRIGGER intervals_are_final BEFORE UPDATE ON intervals
    BEGIN SELECT raise(ABORT, 'an interval is never changed'); END;
"""

_VERSION_2: Final = """
ALTER TABLE files ADD COLUMN rolled_up INTEGER NOT NULL DEFAULT 0;   -- its rows are in rollup_hour as well
-- Nobody rolled up what was dropped until now.
INSERT INTO days_dropped SELECT 'rollup_hour', day, dropped_at FROM days_dropped WHERE tab = 'traffic';
"""

_VERSION_3: Final = """
ALTER TABLE exports_due RENAME TO exports_due_of_one;
CREATE TABLE exports_due (                      -- committed, and not written yet by the export of that name
    export         TEXT    NOT NULL,
    node           TEXT    NOT NULL,
    meter          TEXT    NOT NULL,
    seq            INTEGER NOT NULL,
    claim          TEXT,                        -- the name that it is about to get, where that may be a taken one
    PRIMARY KEY (export, node, meter, seq)
) WITHOUT ROWID;
INSERT INTO exports_due SELECT 'files', node, meter, seq, NULL FROM exports_due_of_one;
DROP TABLE exports_due_of_one;
"""

_VERSION_4: Final = """
CREATE TABLE quota_facts (                      -- what was decided about quotas and what became of them
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    node           TEXT    NOT NULL,
    quota          TEXT    NOT NULL,
    kind           TEXT    NOT NULL,
    happened_at    INTEGER NOT NULL,            -- UTC nanoseconds since 1970
    told           TEXT    NOT NULL             -- the rest as JSON; counters have 64 bits without a sign
);
CREATE INDEX quota_facts_of ON quota_facts (node, quota, id);

CREATE TABLE quota_readings (                   -- what the kernel's object said when it was last written down
    node           TEXT    NOT NULL,
    quota          TEXT    NOT NULL,
    told           TEXT    NOT NULL,
    PRIMARY KEY (node, quota)
) WITHOUT ROWID;

CREATE TRIGGER quota_facts_stay BEFORE DELETE ON quota_facts
    BEGIN SELECT raise(ABORT, 'a fact is never taken out'); END;
CREATE TRIGGER quota_facts_are_final BEFORE UPDATE ON quota_facts
    BEGIN SELECT raise(ABORT, 'a fact is never changed'); END;
"""

# Intervals of named counters are of another kind, which their receipt tells, and their files are of tab 'counters'. A
# program that does not know them would take them for traffic whose rows are gone.
_VERSION_5: Final = """
CREATE INDEX files_of_tab ON files (tab, interval_start) WHERE dropped_at IS NULL;
"""

_VERSION_6: Final = """
CREATE TABLE assignments (                      -- facts of whose an address was; a later one goes before an earlier one
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    kind           TEXT    NOT NULL,            -- address, mac, interface or mark
    target         TEXT    NOT NULL,            -- in the one form that it has
    valid_from     INTEGER NOT NULL,            -- UTC nanoseconds since 1970
    valid_to       INTEGER,                     -- NULL is until further notice
    subject        TEXT,                        -- NULL with mac NULL is nobody, as far as the source knows
    mac            TEXT,                        -- the device that had the address
    source         TEXT    NOT NULL,            -- who says so
    learnt_at      INTEGER NOT NULL,            -- UTC nanoseconds since 1970; never less than in the line before
    detail         TEXT    NOT NULL             -- the rest as JSON
);
CREATE INDEX assignments_of ON assignments (source, kind, target, valid_to, id);

CREATE TRIGGER assignments_stay BEFORE DELETE ON assignments
    BEGIN SELECT raise(ABORT, 'a fact is never taken out'); END;
CREATE TRIGGER assignments_are_final BEFORE UPDATE ON assignments
    BEGIN SELECT raise(ABORT, 'a fact is never changed'); END;
-- INSERT OR REPLACE takes out without a word; and what was known at a time must stay what was known then.
CREATE TRIGGER assignments_come_last BEFORE INSERT ON assignments
    WHEN new.id <= (SELECT max(id) FROM assignments)
    OR new.learnt_at < (SELECT learnt_at FROM assignments ORDER BY id DESC LIMIT 1)
    BEGIN SELECT raise(ABORT, 'a fact is added behind all others'); END;
"""

_VERSION_7: Final = """
ALTER TABLE files ADD COLUMN by_subject INTEGER NOT NULL DEFAULT 0;  -- its rows are in rollup_5min_subject as well

CREATE TABLE subject_rollups (                  -- what was known when a file of rollup_5min_subject was made
    file           INTEGER PRIMARY KEY,         -- its id in files
    facts_upto     INTEGER NOT NULL,            -- what was learnt up to this id changes nothing in it
    rows_from      INTEGER NOT NULL,            -- the least start of its rows' intervals, UTC nanoseconds since 1970
    rows_to        INTEGER NOT NULL             -- the greatest end of them
);

-- Nobody added up by subject what was dropped until now.
INSERT INTO days_dropped SELECT 'rollup_5min_subject', day, dropped_at FROM days_dropped WHERE tab = 'traffic';
-- Numbers of files are given again.
CREATE TRIGGER subject_rollups_go AFTER DELETE ON files
    BEGIN DELETE FROM subject_rollups WHERE file = old.id; END;

CREATE TABLE prefix_lengths (                   -- how much of an address a meter keeps, where it is not 32 and 64 bits
    node           TEXT    NOT NULL,
    meter          TEXT    NOT NULL,
    since          INTEGER NOT NULL,            -- the start of the first interval of which it is known
    ipv4           INTEGER NOT NULL,
    ipv6           INTEGER NOT NULL,
    PRIMARY KEY (node, meter, since)
) WITHOUT ROWID;
"""

MIGRATIONS: Final = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6, _VERSION_7)
"""What each version adds to the one before; never edited after a release."""


def connect_writer(store: Path) -> sqlite3.Connection:
    """Opens the ledger for writing; makes it, or brings it to this version. Blocks for the disk.

    The connection commits by itself but for what stands in :func:`transaction`. It may be used from one thread at a
    time, and passed on.

    Raises:
        LedgerError: it is of a later version.
        OSError, sqlite3.Error: it cannot be opened.
    """
    path = store / NAME
    _make(path)
    path.chmod(MODE)
    inherit_owner(path)
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # With less, SQLite acknowledges commits that a power cut takes back.
        connection.execute("PRAGMA synchronous = FULL")
        # A commit writes some 15 pages, one per interval: by default the log would grow to 4 MB before it is emptied.
        connection.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")
        _migrate(connection, path)
        _reserve_index(path)
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    """Makes an empty file; by SQLite it would get the mode that the process happens to have.

    Only where there is none: to close a file takes away all locks that this process has on it (fcntl(2)), those of
    SQLite too. Then another process takes itself for the only one, and removes the log in which this one's commits
    are. So nobody opens a ledger that is there but SQLite.
    """
    with _making:
        if not path.exists():
            with contextlib.suppress(FileExistsError):  # another process came first
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, MODE))


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; waits for another writer first.

    Raises:
        sqlite3.Error: nothing was changed, as far as this process can see.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # Where COMMIT itself failed SQLite may have rolled back already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """The version that the ledger has now."""
    row = connection.execute("PRAGMA user_version").fetchone()
    return int(row[0])


def refuse_later(found: int, path: Path) -> None:
    """Refuses a ledger that a later version of this program has written.

    Raises:
        LedgerError: so it is.
    """
    if found > len(MIGRATIONS):
        raise LedgerError(
            str(path), "open", f"it has version {found}, and this program knows {len(MIGRATIONS)}", "upgrade netledger"
        )


def refuse_other(found: int, path: Path) -> None:
    """Refuses a ledger of another version: who only reads cannot bring it to this one.

    Raises:
        LedgerError: so it is.
    """
    refuse_later(found, path)
    if found < len(MIGRATIONS):
        raise LedgerError(
            str(path),
            "open",
            f"it has version {found}, and this program reads {len(MIGRATIONS)}",
            "netledger run, or netledger maintain, brings it to this version",
        )


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    refuse_later(version_of(connection), path)
    if version_of(connection) == len(MIGRATIONS):
        return
    with transaction(connection):
        # Looked at again: another process may have come first.
        found = version_of(connection)
        refuse_later(found, path)
        for script in MIGRATIONS[found:]:
            for statement in _statements(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _reserve_index(path: Path) -> None:
    """Takes the room for SQLite's ``-shm``, which it writes through a mapping.

    SQLite makes sure that the end of each page of it has a block. Where blocks are smaller than pages that leaves
    holes, and to write into one when the disk has become full ends the process with SIGBUS.

    Raises:
        OSError: there is no room.
    """
    name = f"{path.resolve()}-shm"
    # The descriptor has to be SQLite's own: to close another one of this file would drop SQLite's locks on it.
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            if str(entry.readlink()) == name:
                descriptor = int(entry.name)
                os.posix_fallocate(descriptor, 0, os.fstat(descriptor).st_size)
                return


def _statements(script: str) -> Iterator[str]:
    """Statements one by one: ``executescript`` would commit what stands open."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
