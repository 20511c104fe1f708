"""`[attribution.NAME]`: each kind of source has keys of its own."""

import pytest

from netledger.config import ConfigError, loads, to_json, to_toml
from netledger.config.attribution import KINDS
from netledger.config.attribution.directory import Directory
from netledger.config.attribution.static import Static

KNOWN = ", ".join(f'"{kind}"' for kind in KINDS)


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, file="f")
    return str(caught.value).splitlines()


def test_each_kind_is_read_and_shown() -> None:
    text = (
        '[attribution.people]\nsource = "static"\npath = "/etc/people.csv"\n'
        '[attribution.dialin]\nsource = "directory"\npath = "/var/run/ip/"\n'
    )
    config = loads(text, file="f")
    assert config.attribution == {
        "people": Static(source="static", path="/etc/people.csv"),
        "dialin": Directory(source="directory", path="/var/run/ip"),
    }
    assert loads(to_toml(config), file="shown") == config
    assert '"source": "static"' in to_json(config)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[attribution.a]", ["f:1: attribution.a.source: is missing", f"hint: one of {KNOWN}"]),
        (
            '[attribution.a]\npath = "/x"\nsource = "sttic"',
            ['f:3: attribution.a.source: "sttic" is not possible here', 'hint: did you mean "static"?'],
        ),
        (
            "[attribution.a]\nsource = 5",
            ["f:2: attribution.a.source: 5 is not possible here", f"hint: {KNOWN}"],
        ),
        ("attribution.a = 5", ["f:1: attribution.a: 5 is no table", "hint: as in [attribution.a]"]),
        ('[attribution.a]\nsource = "static"', ["f:1: attribution.a.path: is missing"]),
        (
            '[attribution.a]\nsource = "static"\npath = "people.csv"\npaht = 3',
            [
                'f:3: attribution.a.path: "people.csv" is no absolute path of a file',
                'hint: as in "/etc/netledger/assignments.csv"',
                "f:4: attribution.a.paht: unknown key",
                "hint: did you mean path?",
            ],
        ),
        (
            '[attribution.static]\nsource = "directory"\npath = "/x"\nnames = 3',
            ["f:4: attribution.static.names: unknown key", "hint: possible are source, path"],
        ),
        *(
            (
                f'[attribution.{name}]\nsource = "directory"\npath = "/x"',
                [
                    f'f:1: attribution.{name}: "{name}" is the source of what `netledger {name}` says',
                    "hint: choose another name: a source of that name would end what people have said",
                ],
            )
            for name in ("assign", "import")
        ),
        (
            '[attribution.A]\nsource = "directory"\npath = "/x"',
            [
                'f:1: attribution.A: "A" is no name',
                "hint: lower case letters, digits and underscores, for it names chains and directories",
            ],
        ),
    ],
)
def test_a_mistake_is_told_with_its_key(text: str, said: list[str]) -> None:
    assert mistakes(text) == said
