"""``netledger run``: count until told to stop."""

# ruff: noqa: PLC0415  # a command loads what it needs when it runs: `--version` must not wait for pydantic

from typing import Annotated

import typer

from netledger.cli.options import ConfigFile, Store


def run(
    *,
    config: ConfigFile = None,
    store: Store = None,
    keep_rules: Annotated[
        bool,
        typer.Option(
            "--keep-rules",
            "--keep-attached",
            help="Leave rules and programs in the kernel at the end, for a restart without a gap.",
        ),
    ] = False,
) -> None:
    """Count for every meter of the configuration until TERM or INT.

    HUP reads the configuration again; a bad one changes nothing. USR1 closes the intervals now. Log lines go to
    standard error.
    """
    import faulthandler

    from netledger.cli.options import load_config
    from netledger.daemon import Daemon, logs
    from netledger.daemon.build import make_source, probe_bpf
    from netledger.intervals import SystemClock
    from netledger.sources.bpf_place import mount_if_missing
    from netledger.sources.privileges import give_up_others, needed

    logs.set_up()
    # A watchdog ends a program that hangs by SIGABRT; its log should say where it hung.
    faulthandler.enable()
    wanted = load_config(config, store)
    # Before anything is opened and any thread is there: those of the core and of the libraries have what this one has.
    mechanisms = {one for meter in wanted.meters.values() for one in meter.mechanisms}
    if "bpf" in mechanisms:
        mount_if_missing()
    enters_namespaces = any(meter.netns is not None for meter in wanted.meters.values())
    give_up_others(needed(mechanisms, enters_namespaces=enters_namespaces))
    daemon = Daemon(
        wanted,
        SystemClock(),
        make_source=make_source,
        probe=probe_bpf,
        reload=lambda: load_config(config, store),
        keep_rules=keep_rules,
    )
    raise typer.Exit(daemon.run())
