"""Old days lose their rows and their sums; receipts and the chain stay."""

from collections.abc import Collection

from netledger.ledger import database
from netledger.ledger.files import explained
from netledger.ledger.intervals import ROLLUP_HOUR, TRAFFIC
from netledger.ledger.store import Ledger
from netledger.ledger.subject_files import ROLLUP_SUBJECT
from netledger.receipt import parse_rfc3339


def drop_days(ledger: Ledger, tab: str, before: str, *, hours_from: str, waiting: Collection[str] = ()) -> list[str]:
    """Marks what is older than a day as dropped, and says which days that are.

    Of days whose sums are kept, rows stay as long as some of them are not in hourly sums; where anything is assigned to
    anybody, not in sums by subject; and on days that are ``waiting`` to be added up by subject again.

    Raises:
        LedgerError: the ledger refuses; nothing was dropped.
    """
    with explained(ledger.store, "drop"), database.transaction(ledger.connection):
        has_subjects = ledger.connection.execute("SELECT 1 FROM assignments LIMIT 1").fetchone() is not None
        days = ledger.connection.execute(
            "SELECT day, tab = ?3 AND NOT min(rolled_up), tab = ?3 AND NOT min(by_subject) FROM files "
            "WHERE tab = ?1 AND day < ?2 AND dropped_at IS NULL GROUP BY day "
            "HAVING tab <> ?3 OR (min(rolled_up) AND (min(by_subject) OR NOT ?5)) OR day < ?4 ORDER BY day",
            (tab, before, TRAFFIC, hours_from, has_subjects),
        ).fetchall()
        if tab == TRAFFIC:
            days = [one for one in days if one[0] < hours_from or one[0] not in waiting]
        for day, is_without_hours, is_without_subjects in days:
            # What was never added up is missing among the sums too.
            gone = [tab, *[ROLLUP_HOUR] * is_without_hours, *[ROLLUP_SUBJECT] * is_without_subjects]
            ledger.connection.executemany(
                "INSERT OR REPLACE INTO days_dropped VALUES (?, ?, ?)", [(one, day, ledger.now_ns()) for one in gone]
            )
            ledger.connection.execute(
                "UPDATE files SET dropped_at = ? WHERE tab = ? AND day = ? AND dropped_at IS NULL",
                (ledger.now_ns(), tab, day),
            )
        ledger.at_step("dropped")
        if tab == TRAFFIC and before:
            ledger.connection.execute(
                "DELETE FROM exports_due WHERE (node, meter, seq) IN "
                "(SELECT node, meter, seq FROM intervals WHERE interval_start < ?)",
                (parse_rfc3339(f"{before}T00:00:00Z"),),
            )
    return [day for day, *_ in days]
