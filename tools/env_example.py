"""Write `.env.example`: every setting with its default. `.venv/bin/python tools/env_example.py > .env.example`."""

from textwrap import wrap

from nexus_common.runtime.settings import describe

HEAD = """\
# Settings for the containers. Copy to `.env`, uncomment what is to differ, `make up`.
# A variable of the shell is stronger than one of this file. Programs started without containers read the same
# variables from their environment. `NAME__FILE` in place of `NAME` names a file that holds the value.
# docker-compose.yml itself sets the addresses, `runtime.instance`, the health page and `ingest.data_dir`, and has
# defaults of its own for two: `ingest.speed` 600 and `telegram.mode` pilot.
#
# Generated from the settings themselves: tools/env_example.py.

# name of the project: containers and volumes are called after it
# COMPOSE_PROJECT_NAME=nexus
# a directory of recorded market data on this machine, absolute; mounted read-only. Absent: a generated market
# NEXUS_DATA_DIR=
"""


def text() -> str:
    parts = [HEAD]
    section = ""
    for variable, default, description in describe():
        here = variable.split("__")[1].lower()
        if here != section:
            section = here
            parts.append(f"\n# [{section}]\n")
        if description:
            parts.append("".join(f"# {line}\n" for line in wrap(description, 108)))
        parts.append(f"# {variable}={default}\n")
    return "".join(parts)


if __name__ == "__main__":
    print(text(), end="")
