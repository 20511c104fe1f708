"""The configuration: one TOML file, every key with a default, all mistakes reported at once."""

from netledger.config.load import DEFAULT_PATH, load, loads
from netledger.config.meter import Meter, PrefixLength
from netledger.config.model import Config, Export, Retention
from netledger.config.named import Nfacct
from netledger.config.problems import ConfigError, Problem
from netledger.config.show import to_json, to_toml
from netledger.config.sources import Conntrack, Nflog, NflogGroup

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "Conntrack",
    "Export",
    "Meter",
    "Nfacct",
    "Nflog",
    "NflogGroup",
    "PrefixLength",
    "Problem",
    "Retention",
    "load",
    "loads",
    "to_json",
    "to_toml",
]
