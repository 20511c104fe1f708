"""The one caller of nft, against programs that are missing, slow or strange; nft itself is for the kernel tests."""

import json
from pathlib import Path

import pytest

from netledger.errors import RulesetError
from netledger.sources.nft import GarbledAnswerError, Nft, items
from netledger.sources.privileges import has_capability


def program(folder: Path, text: str) -> str:
    """A shell script in place of nft."""
    path = folder / "nft"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_missing_program_says_what_to_install() -> None:
    with pytest.raises(RulesetError) as refusal:
        Nft("/nowhere/nft").apply([])
    assert str(refusal.value) == "nft: run: program not found"
    assert refusal.value.hint == "install nftables"


def test_a_program_that_cannot_be_run_says_why(tmp_path: Path) -> None:
    path = tmp_path / "nft"
    path.write_text("")
    with pytest.raises(RulesetError, match="nft: run: Permission denied"):
        Nft(str(path)).apply([])


def test_a_program_that_hangs_is_given_up(tmp_path: Path) -> None:
    hanging = Nft(program(tmp_path, "exec tail -f /dev/null"), answer_seconds=0.2)
    with pytest.raises(RulesetError, match=r"nft: change the rules: no answer within 0\.2 s"):
        hanging.apply([])


def test_commands_go_in_as_one_json_document(tmp_path: Path) -> None:
    there = tmp_path / "seen"
    Nft(program(tmp_path, f'echo "$@" > {there}; cat >> {there}')).apply([{"flush": {"ruleset": None}}])
    assert there.read_text() == '-j -f -\n{"nftables": [{"flush": {"ruleset": null}}]}'


def test_the_words_of_a_refusal_are_kept(tmp_path: Path) -> None:
    with pytest.raises(RulesetError) as refusal:
        Nft(program(tmp_path, 'echo "Error: no  such\n  luck" >&2; exit 1')).apply([])
    if has_capability(12):
        assert refusal.value.cause == "Error: no such luck"
        assert "nft list ruleset" in (refusal.value.hint or "")


def test_an_answer_that_is_no_json_is_an_error_and_not_an_absent_table(tmp_path: Path) -> None:
    with pytest.raises(GarbledAnswerError, match="nft: list table inet t: answered without JSON"):
        Nft(program(tmp_path, "echo '{\"nftables\": ['")).table("inet", "t")


def test_a_table_that_is_not_among_the_tables_is_absent(tmp_path: Path) -> None:
    script = """read -r question; case $question in *'"tables"'*) echo '{"nftables": []}';; *) exit 1;; esac"""
    assert Nft(program(tmp_path, script)).table("inet", "t") is None


@pytest.mark.parametrize("answer", [None, [], "text", {}, {"nftables": None}, {"nftables": [1, "x"]}])
def test_items_of_strange_answers_are_none(answer: object) -> None:
    assert items(answer) == []  # type: ignore[arg-type]  # that is what is tried here


def test_flowtables_are_named_by_where_they_are(tmp_path: Path) -> None:
    listed = {
        "nftables": [{"metainfo": {}}, {"flowtable": {"family": "inet", "table": "fw", "name": "fast", "dev": "a"}}]
    }
    assert Nft(program(tmp_path, f"cat >/dev/null; echo '{json.dumps(listed)}'")).flowtables() == ["inet fw fast"]
    assert Nft(program(tmp_path, "cat >/dev/null; echo '{\"nftables\": []}'")).flowtables() == []
