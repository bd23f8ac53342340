"""The `nexus` command.

Exit codes: 0 done, 1 the check failed, 2 wrong usage or configuration, 3 something is missing.
"""

from __future__ import annotations

import sys

import typer

from nexus_common.runtime.errors import ConfigurationError, DependencyMissing, NexusError
from nexus_ops.commands import (
    accounts,
    comparing,
    data,
    explaining,
    maintaining,
    models,
    record,
    running,
    signals,
    status,
    tape,
    ticks,
    trading,
    training,
    venues,
    whatif,
)

app = typer.Typer(
    name="nexus",
    help="An event-sourced trading system: run it, and ask it why.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
running.register(app)
status.register(app)
record.register(app)
explaining.register(app)
whatif.register(app)
signals.register(app)
models.register(app)
training.register(app)
trading.register(app)
maintaining.register(app)
venues.register(app)
accounts.register(app)
comparing.register(app)
data.register(app)
tape.register(app)
ticks.register(app)


def main() -> None:
    try:
        app()
    except ConfigurationError as error:
        _leave(error, 2)
    except DependencyMissing as error:
        _leave(error, 3)
    except NexusError as error:
        _leave(error, 1)
    except BrokenPipeError:
        sys.exit(0)  # whoever read the output has seen enough


def _leave(error: Exception, code: int) -> None:
    sys.stderr.write(f"nexus: {error}\n")
    sys.exit(code)
