"""The only caller of the ``nft`` program: JSON in, JSON out.

One call of :meth:`Nft.apply` is one transaction: the kernel takes all of its commands or none.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from typing import Final, TypeAlias

from netledger.errors import PermissionDeniedError, RulesetError
from netledger.sources.privileges import CAP_NET_ADMIN, has_capability, hint

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

ANSWER_SECONDS = 20.0


class GarbledAnswerError(RulesetError):
    """nft succeeded, but what it said is no JSON."""


_LOG_GROUP: Final = re.compile(r"\blog\b.*?\bgroup ([0-9]{1,5})\b")


class Nft:
    """Runs ``nft`` in the network namespace of the calling thread.

    Args:
        program: what to run; found in PATH when it has no slash.
        answer_seconds: how long a call may take before it counts as failed.
    """

    def __init__(self, program: str = "nft", *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._program = program
        self._answer_seconds = answer_seconds

    def apply(self, commands: Sequence[Json]) -> None:
        """Hands ``commands`` to the kernel as one transaction. Blocks for a few ms, at most ``answer_seconds``.

        Raises:
            RulesetError: nft is missing, refuses, or does not answer.
            PermissionDeniedError: this process lacks CAP_NET_ADMIN.
        """
        self._run(["-j"], json.dumps({"nftables": list(commands)}), "change the rules")

    def table(self, family: str, name: str) -> Json:
        """What nft lists of one table, handles included; None when there is no such table.

        Raises:
            GarbledAnswerError: the table has flags, which nft 1.0.6 writes as whatever lies in its memory.
            RulesetError: nft is missing, refuses, or does not answer.
            PermissionDeniedError: this process lacks CAP_NET_ADMIN.
        """
        wanted: Json = {"nftables": [{"list": {"table": {"family": family, "name": name}}}]}
        try:
            return self._answer(json.dumps(wanted), f"list table {family} {name}")
        except GarbledAnswerError:
            raise
        except RulesetError:
            # "No such table" differs from other failures only by nft's text: ask for all tables instead of reading it.
            if (family, name) not in self._tables():
                return None
            raise

    def log_groups(self) -> set[int]:
        """The NFLOG groups that rules of any table log to; a word in a comment may make it one too many.

        As text: of a table with flags nft 1.0.6 writes no JSON that could be read. Elements of sets are left out.

        Raises:
            RulesetError: nft is missing, refuses, or does not answer.
            PermissionDeniedError: this process lacks CAP_NET_ADMIN.
        """
        listed = self._run(["-t"], "list ruleset\n", "list all rules")
        return {int(group) for group in _LOG_GROUP.findall(listed)}

    def flowtables(self) -> list[str]:
        """The flowtables of all tables, as ``inet filter fast``; packets of their flows pass by most hooks.

        Raises:
            RulesetError: nft is missing, refuses, or does not answer.
            PermissionDeniedError: this process lacks CAP_NET_ADMIN.
        """
        answer = self._answer(json.dumps({"nftables": [{"list": {"flowtables": None}}]}), "list flowtables")
        found = (item["flowtable"] for item in items(answer) if "flowtable" in item)
        return [f"{one.get('family')} {one.get('table')} {one.get('name')}" for one in found if isinstance(one, dict)]

    def _tables(self) -> set[tuple[str, str]]:
        found = set()
        for item in items(self._answer(json.dumps({"nftables": [{"list": {"tables": None}}]}), "list tables")):
            table = item.get("table")
            if isinstance(table, dict):
                found.add((str(table.get("family")), str(table.get("name"))))
        return found

    def _answer(self, question: str, operation: str) -> Json:
        text = self._run(["-j", "-a"], question, operation)
        try:
            answer: Json = json.loads(text)
        except ValueError as error:
            raise GarbledAnswerError("nft", operation, f"answered without JSON: {error}") from error
        return answer

    def _run(self, options: list[str], text: str, operation: str) -> str:
        argv = [self._program, *options, "-f", "-"]
        try:
            done = subprocess.run(
                argv, check=False, capture_output=True, text=True, input=text, timeout=self._answer_seconds
            )
        except FileNotFoundError as error:
            raise RulesetError("nft", "run", "program not found", "install nftables") from error
        except subprocess.TimeoutExpired as error:
            cause = f"no answer within {self._answer_seconds:g} s"
            raise RulesetError("nft", operation, cause, "see whether another program holds the ruleset") from error
        except OSError as error:
            raise RulesetError("nft", "run", error.strerror or str(error)) from error
        if done.returncode == 0:
            return done.stdout
        words = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
        if not has_capability(CAP_NET_ADMIN):
            raise PermissionDeniedError("nft", operation, words, hint(CAP_NET_ADMIN))
        where = "see `nft list ruleset`; this kernel may lack an expression (nft_log, nft_counter, nft_fib)"
        raise RulesetError("nft", operation, words, where)


def items(answer: Json) -> list[dict[str, Json]]:
    """The objects of an answer of nft, in its order; empty when the answer has another shape."""
    listed = answer.get("nftables") if isinstance(answer, dict) else None
    return [item for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
