"""The program of the bpf source, built wrong on purpose: a proof that cannot fail proves nothing."""

import hashlib
import os
import subprocess
from pathlib import Path

from tests.kernel.senders import ROOT

SOURCES = ROOT / "bpf"


def mutant(define: str) -> Path:
    """The object with a macro, ``NAME`` or ``NAME=VALUE``; built once per version of its text. Needs clang."""
    text = b"".join(path.read_bytes() for path in sorted(SOURCES.iterdir()) if path.suffix in {".c", ".h"})
    digest = hashlib.sha256(text + define.encode()).hexdigest()[:12]
    made = ROOT / ".build" / f"mutant-{digest}.bpf.o"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        fresh = made.with_name(f"mutant-{os.getpid()}.bpf.o")
        subprocess.run(["make", "bpf", f"BPF_FLAGS=-D{define}", f"BPF_OBJECT={fresh}"], cwd=ROOT, check=True)
        fresh.rename(made)
    return made
