"""``netledger import nacctd`` of a log whose machine set its clock back."""

from pathlib import Path

from tests.unit.test_import_logs import HOUR, imported, line, numbers, total, written

LINES_OF_ONE = ("10.9.0.1", "192.0.2.1", 100)


def test_a_log_whose_clock_was_set_back_is_refused_with_where_to_cut_it(tmp_path: Path) -> None:
    store = tmp_path / "store"
    before = [line(HOUR + 3590, *LINES_OF_ONE), line(HOUR + 3600, *LINES_OF_ONE), line(HOUR + 3605, *LINES_OF_ONE)]
    behind = [line(HOUR + 3585 + n, "10.9.0.9", "192.0.2.1", 700 + n) for n in range(20)]
    path = written(tmp_path / "net-acct.log", [*before, *behind])
    twice = f"{HOUR + 3590} to {HOUR + 3590}"
    told = imported(store, path, status=1)
    assert numbers(told) == (0, 0, 1)
    assert told["refused"] == [
        {
            "place": f"{path}:4",
            "why": f"lines of the seconds {twice} stand above already, and later ones behind them",
            "hint": "the clock was set back there, or two logs were joined: cut the file before line 4, and import "
            "what follows with a --meter of its own",
        }
    ]
    # What it says can be done, also where the first lines had been imported before the clock was set back.
    written(path, before)
    assert numbers(imported(store, path)) == (3, 0, 0)
    written(path, [*before, *behind])
    assert imported(store, path, status=1)["refused"] == told["refused"]
    rest = written(tmp_path / "rest.log", behind)
    assert numbers(imported(store, rest, "--meter", "set_back")) == (20, 0, 0)
    assert total(store) == 3 * 100 + sum(700 + n for n in range(20))
