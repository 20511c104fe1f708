"""``netledger run`` with less than root has: with some capabilities only, or as an ordinary user with one of them."""

import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.kernel.gateway import Gateway
from tests.kernel.lab import Child, Lab

SOMEBODY, THEIR_GROUP = 54_321, 54_322
ROOT = Path(__file__).parent.parent.parent

AS_SOMEBODY = (
    f"--reuid={SOMEBODY}",
    f"--regid={THEIR_GROUP}",
    "--clear-groups",
    "--inh-caps=-all,+net_admin",
    "--ambient-caps=-all,+net_admin",
)
"""Options of setpriv: the ordinary user of a service manager, with the one capability that counting needs."""


def bounded(*capabilities: str) -> tuple[str, ...]:
    """Options of setpriv: root with such capabilities and no others."""
    # Of root's capabilities a new program gets those of the bounding set.
    bounds = ",".join(("-all", *(f"+{name}" for name in capabilities)))
    return f"--inh-caps={bounds}", f"--bounding-set={bounds}"


def lacking(*names: str) -> str:
    """What root is told to whom these were denied: not to be root."""
    what = ", ".join(names)
    return f"it runs as root, but without {what}: see CapabilityBoundingSet= of a service, --cap-add of a container"


class LesserGateway(Gateway):
    """``netledger run`` with such options of setpriv as are named; with ``path`` as the first place of programs."""

    def __init__(
        self, lab: Lab, *limits: str, path: Path | None = None, interval: str = "1s", store: Path | None = None
    ) -> None:
        super().__init__(lab, lab.gw, interval=interval, store=store)
        self.limits = limits
        self._settings = [f"PATH={path}:{os.environ['PATH']}"] if path else []

    def start(self, *settings: str) -> Child:
        program = [sys.executable, "-m", "netledger", "run", "--config", str(self.file)]
        argv = within_reach(
            ["env", *self._settings, *settings, *self._limited(), *program], self.network.directory / "view"
        )
        self.children.append(self.network.spawn(self.namespace, argv))
        return self.child

    def _limited(self) -> list[str]:
        return ["setpriv", *self.limits] if self.limits else []

    def belongs_to_somebody(self) -> None:
        """Has its directories made and owned as a service manager does it."""
        self.network.directory.chmod(0o755)
        for directory in (self.store, self.runtime):
            directory.mkdir(mode=0o750)
            os.chown(directory, SOMEBODY, THEIR_GROUP)


def within_reach(argv: Sequence[str], scratch: Path) -> list[str]:
    """The command, in a view of the file system where everybody can reach the interpreter and this checkout.

    They may lie below a directory that only root may enter. It gets a mount namespace of its own; ``scratch`` is an
    empty directory, or none yet.
    """
    # Upper directories give the mounts their modes; what lies below stays what it is.
    script = """
set -e
upper=$1; shift
mkdir -p "$upper"
mount -t tmpfs -o mode=0755 netledger-test "$upper"
while [ "$1" != -- ]; do
    mkdir -p "$upper$1/upper" "$upper$1/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$upper$1/upper,workdir=$upper$1/work" netledger-test "$1"
    shift
done
shift
exec "$@"
"""
    parents = {parent for path in (Path(sys.executable), ROOT / "tests") for parent in path.resolve().parents}
    closed = sorted(str(one) for one in parents if not one.stat().st_mode & stat.S_IXOTH)
    if not closed:
        return list(argv)
    alone = ["unshare", "--mount", "--propagation", "slave"]
    return [*alone, "sh", "-c", script, "sh", str(scratch), *closed, "--", *argv]
