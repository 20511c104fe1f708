"""The configuration: one TOML file, every key with a default, all mistakes reported at once."""

from netledger.config.load import DEFAULT_PATH, load, loads
from netledger.config.model import Config, Export, Meter, Nflog, NflogGroup, PrefixLength, Retention
from netledger.config.problems import ConfigError, Problem
from netledger.config.show import to_json, to_toml

__all__ = [
    "DEFAULT_PATH",
    "Config",
    "ConfigError",
    "Export",
    "Meter",
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
