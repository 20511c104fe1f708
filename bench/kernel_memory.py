"""Memory of the kernel that BPF maps of a process take."""

from pathlib import Path

__all__ = ["map_bytes"]

HASH = "1"  # as the kernel numbers kinds of maps


def map_bytes(pid: int | str) -> dict[str, int]:
    """Bytes behind the maps that a process has open, each map once: those of ``rows``, and all ``other``."""
    sizes: dict[str, tuple[str, int]] = {}
    for file in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue  # closed meanwhile
        facts = dict(line.split(":", 1) for line in lines if ":" in line)
        if "map_id" in facts:
            kind = "rows" if facts["map_type"].strip() == HASH else "other"
            sizes[facts["map_id"]] = kind, int(facts["memlock"])
    found = {"rows": 0, "other": 0}
    for kind, size in sizes.values():
        found[kind] += size
    return found
