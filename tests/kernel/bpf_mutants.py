"""The program of the bpf source, built wrong on purpose: a proof that cannot fail proves nothing.

And built as another version might be: with another layout. All of it needs clang.
"""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.kernel.senders import ROOT

SOURCES = ROOT / "bpf"
BUILT = ROOT / ".build"
RECEIPT = "struct receipt {\n"


def mutant(define: str) -> Path:
    """The object with a macro, ``NAME`` or ``NAME=VALUE``; built once per version of its text."""
    return _built(SOURCES, f"-D{define}")


def other_layout(number: int) -> Path:
    """The object of a version with this layout, whose receipts have something more, at their beginning."""
    with tempfile.TemporaryDirectory(prefix="nlt") as directory:
        sources = Path(directory, "bpf")
        shutil.copytree(SOURCES, sources)
        header = sources / "accounting.h"
        text = header.read_text()
        assert RECEIPT in text
        header.write_text(text.replace(RECEIPT, f"{RECEIPT}\t__u64 something[3];\n"))
        return _built(sources, f"-DLAYOUT={number}")


def _built(sources: Path, flags: str) -> Path:
    text = b"".join(path.read_bytes() for path in sorted(sources.iterdir()) if path.suffix in {".c", ".h"})
    made = BUILT / f"mutant-{hashlib.sha256(text + flags.encode()).hexdigest()[:12]}.bpf.o"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        fresh = made.with_name(f"mutant-{os.getpid()}.bpf.o")
        make = ["make", "-f", str(ROOT / "Makefile"), "-C", str(sources.parent)]
        subprocess.run([*make, "bpf", f"BPF_FLAGS={flags}", f"BPF_OBJECT={fresh}"], check=True, capture_output=True)
        fresh.rename(made)
    return made
