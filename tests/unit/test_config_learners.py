"""`[attribution.NAME]` of access servers, WireGuard and neighbours: their keys, and what is refused."""

import pytest

from netledger.config import Config, ConfigError, loads, to_toml
from netledger.config.attribution.neighbours import Neighbours
from netledger.config.attribution.radius import Radius
from netledger.config.attribution.wireguard import Wireguard

RADIUS = '[attribution.isp]\nsource = "radius"\n'
WITH_FILE = 'secret_file = "/s"\n'
AS_IN = 'hint: as in "127.0.0.1:1813" or "[::1]:1813"'


def mistakes(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, file="f")
    return str(caught.value).splitlines()


def radius(config: Config) -> Radius:
    found = config.attribution["isp"]
    assert isinstance(found, Radius)
    return found


def test_an_access_server_needs_a_secret_only() -> None:
    found = radius(loads(RADIUS + WITH_FILE, file="f"))
    assert (found.listen, found.stale_after_seconds, found.clients) == ("127.0.0.1:1813", 3600, ())


def test_all_of_it_is_read_and_shown() -> None:
    text = (
        f'{RADIUS}{WITH_FILE}listen = "[::0]:01813"\nstale_after = "20m"\n'
        '[[attribution.isp.clients]]\nnetwork = "192.0.2.0/24"\nsecret_file = "/n"\n'
        '[attribution.vpn]\nsource = "wireguard"\nevery = "1m"\nnames = { "a+/=" = "alice" }\ninterfaces = ["wg0"]\n'
        '[attribution.lan]\nsource = "neighbours"\nforget_after = "2h"\ninterfaces = ["lan*"]\n'
    )
    config = loads(text, file="f")
    found, vpn, lan = config.attribution.values()
    assert isinstance(found, Radius)
    assert (found.listen, found.stale_after_seconds) == ("[::]:1813", 1200)
    assert [(client.network, client.secret_file) for client in found.clients] == [("192.0.2.0/24", "/n")]
    assert isinstance(vpn, Wireguard)
    assert (vpn.every_seconds, vpn.names, vpn.interfaces) == (60, {"a+/=": "alice"}, ("wg0",))
    assert isinstance(lan, Neighbours)
    assert (lan.forget_after_seconds, lan.interfaces) == (7200, ("lan*",))
    assert loads(to_toml(config), file="shown") == config


@pytest.mark.parametrize(
    "listen", ["1.2.3.4", "1.2.3.4:", "::1:1813", "[1.2.3.4]:5", "host:5", "[::1]", "1.2.3.4:x", ""]
)
def test_what_is_no_address_and_port_is_refused(listen: str) -> None:
    said = mistakes(f'{RADIUS}{WITH_FILE}listen = "{listen}"')
    assert said == [f'f:4: attribution.isp.listen: "{listen}" is no address and port', AS_IN]


def two(first: str | None, second: str | None) -> str:
    tables = ""
    for name, listen in (("isp", first), ("wifi", second)):
        tables += f'[attribution.{name}]\nsource = "radius"\n{WITH_FILE}'
        tables += "" if listen is None else f'listen = "{listen}"\n'
    return tables


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        (None, None, 4),
        ("192.0.2.1:1813", "192.0.2.1:01813", 8),
        ("0.0.0.0:1813", None, 5),
        (None, "[::]:1813", 7),
        ("[::]:1813", "[2001:db8::1]:1813", 8),
    ],
)
def test_two_servers_at_one_place_are_refused(first: str | None, second: str | None, line: int) -> None:
    assert mistakes(two(first, second)) == [
        f"f:{line}: attribution.wifi.listen: {second or '127.0.0.1:1813'} is taken by attribution.isp",
        "hint: another address or port, or one table with several clients",
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [(None, "127.0.0.1:1814"), (None, "127.0.0.2:1813"), ("0.0.0.0:1813", "[::1]:1813"), ("[::1]:1813", None)],
)
def test_two_servers_at_two_places_are_taken(first: str | None, second: str | None) -> None:
    assert len(loads(two(first, second), file="f").attribution) == 2


@pytest.mark.parametrize("port", [0, 65_536, 99_999_999])
def test_what_is_no_port_is_refused(port: int) -> None:
    said = mistakes(f'{RADIUS}{WITH_FILE}listen = "127.0.0.1:{port}"')
    assert said == [f"f:4: attribution.isp.listen: {port} is no port", "hint: from 1 to 65535"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            RADIUS,
            [
                "f:1: attribution.isp: there is no secret, so nobody could tell anything",
                "hint: set secret_file, or clients with theirs",
            ],
        ),
        (
            RADIUS + 2 * '[[attribution.isp.clients]]\nnetwork = "192.0.2.0/24"\nsecret_file = "/n"\n',
            [
                'f:1: attribution.isp: two clients have the network "192.0.2.0/24"',
                "hint: each network has one secret",
            ],
        ),
        (
            f'{RADIUS}{WITH_FILE}stale_after = 5',
            ["f:4: attribution.isp.stale_after: 5 is no duration", 'hint: as in "90s", "5m", "1h" or "1d"'],
        ),
        (
            '[attribution.vpn]\nsource = "wireguard"\nnames = { key = "unknown" }',
            [
                'f:3: attribution.vpn.names.key: "unknown": this name has a meaning of its own',
                "hint: reports say so where there is no subject; choose another name, such as user:unknown",
            ],
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_told(text: str, said: list[str]) -> None:
    assert mistakes(text) == said
