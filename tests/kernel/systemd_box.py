"""A real systemd as the first process of namespaces of its own, over a view of this machine that forgets changes."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, final

from tests.kernel.lab import COMMAND_SECONDS, wait_for

ROOT: Final = Path(__file__).parent.parent.parent
SYSTEMD: Final = Path("/lib/systemd/systemd")
_NAMESPACES: Final = ("--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup")

# $1 is an empty directory; the others must be reachable by everybody and are bound into the view as they are.
_BOOT: Final = """
set -e
mount --make-rprivate /
scratch=$1; shift
mount -t tmpfs -o mode=755 netledger-test "$scratch"
mkdir "$scratch/upper" "$scratch/work" "$scratch/root"
mount -t overlay -o "lowerdir=/,upperdir=$scratch/upper,workdir=$scratch/work" netledger-test "$scratch/root"
cd "$scratch/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf -o nosuid,nodev,noexec,mode=0700 bpf sys/fs/bpf
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 netledger-test dev
for device in null zero full random urandom tty; do touch "dev/$device"; mount --bind "/dev/$device" "dev/$device"; done
mkdir dev/shm dev/pts dev/mqueue dev/hugepages
mount -t devpts -o newinstance,ptmxmode=666 netledger-test dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 netledger-test run
for path; do
    mkdir -p ".$path"
    mount --bind "$path" ".$path"
    parent=${path%/*}
    while [ -n "$parent" ]; do chmod o+x ".$parent"; parent=${parent%/*}; done
done
# Of this machine's own services none is to start, and nothing of an earlier netledger is to be there.
rm -rf etc/systemd/system/*.wants etc/systemd/system/*.requires etc/netledger var/lib/netledger
: >etc/fstab
printf '[Unit]\\nDefaultDependencies=no\\n' >etc/systemd/system/box.target
pivot_root . mnt
umount -l /mnt
container=other exec chroot . /lib/systemd/systemd --system --unit=box.target
"""


@final
class Box:
    """Runs commands where that systemd is the first process."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.root = Path(f"/proc/{pid}/root")

    def run(self, *argv: str, text: str | None = None) -> str:
        """Runs a command to its end, and gives what it printed.

        Raises:
            RuntimeError: it failed; with the words it said.
        """
        done = self.attempt(*argv, text=text)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def attempt(self, *argv: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
        """The same for a command that may fail."""
        inside = ["nsenter", "--all", f"--target={self._pid}", "--", *argv]
        return subprocess.run(inside, check=False, capture_output=True, text=True, input=text, timeout=COMMAND_SECONDS)

    def shown(self, unit: str, key: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={key}", unit).strip()


@contextmanager
def booted(scratch: Path) -> Iterator[Box]:
    """A systemd that has booted; it and all it started are gone afterwards.

    Raises:
        RuntimeError: this machine does not let it.
    """
    scratch.mkdir()
    bound = [str(ROOT), str(Path(sys.base_prefix).resolve())]
    argv = ["unshare", *_NAMESPACES, "--fork", "--kill-child", "sh", "-c", _BOOT, "sh", str(scratch), *bound]
    said = scratch.with_name("said")
    with said.open("wb") as file:
        outer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        box = Box(wait_for(lambda: _first_process(outer, said), 20, "systemd"))
        wait_for(lambda: box.attempt("systemctl", "show", "--property=Version").returncode == 0, 20, "boot")
        yield box
    finally:
        outer.kill()
        outer.wait(COMMAND_SECONDS)


def _first_process(outer: "subprocess.Popen[bytes]", said: Path) -> int:
    """Its process id out here; 0 while it is not there yet."""
    if outer.poll() is not None:
        raise RuntimeError(f"systemd in namespaces: status {outer.returncode}: {said.read_text(errors='replace')}")
    for child in Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
            return int(child)
    return 0
