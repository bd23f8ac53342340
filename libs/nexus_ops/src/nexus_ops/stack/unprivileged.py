"""Postgres refuses root and nameless users; here they become somebody else without leaving traces.

In order of preference: a user namespace that maps root to an ordinary uid (no account is made, no file
changes owner); the uid of nobody on a folder it owns, with a copy of the binaries where it cannot reach them.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from nexus_common.runtime.errors import DependencyMissing

NOBODY = 65534
# initdb looks up the name of its user, so the uid must be one that every machine knows.
NAMESPACE = ("unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
AS_NOBODY = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--")


@dataclass(frozen=True, slots=True)
class Identity:
    """How to start Postgres: command prefix, folder of programs, folder that it owns, user id if changed."""

    become: tuple[str, ...]
    programs: Path
    home: Path
    uid: int | None = None

    def give(self, path: Path) -> None:
        """Make a path of ours readable and writable for it."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid)


def identity_for(home: Path, programs: Path) -> Identity:
    """Who runs Postgres on the data below `home`."""
    if os.geteuid() != 0 and _has_a_name(os.geteuid()):
        return Identity((), programs, home)
    if shutil.which("unshare") and _reaches(NAMESPACE, programs / "postgres", home):
        return Identity(NAMESPACE, programs, home)
    if os.geteuid() != 0:
        raise DependencyMissing(
            f"Postgres needs a user with a name, and uid {os.geteuid()} has none: add it to /etc/passwd"
        )
    if not shutil.which("setpriv"):
        raise DependencyMissing(
            "Postgres does not run as root, and neither unshare nor setpriv (util-linux) is at hand: "
            "run as an ordinary user, or install util-linux"
        )
    return _as_nobody(home, programs)


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _as_nobody(home: Path, programs: Path) -> Identity:
    os.chown(home, NOBODY, NOBODY)
    if not _reaches(AS_NOBODY, Path("/bin/sh"), home):
        # A closed folder lies above it: the data moves to a private place named after the one asked for.
        name = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        home = Path("/var/tmp") / f"nexus-{name}"  # noqa: S108 - private: mode 0700, owner checked below
        home.mkdir(mode=0o700, exist_ok=True)
        os.chown(home, NOBODY, NOBODY)
    if not _reaches(AS_NOBODY, programs / "postgres", home):
        programs = _copied(programs, home / "programs")
    return Identity(AS_NOBODY, programs, home, NOBODY)


def _reaches(become: tuple[str, ...], program: Path, home: Path) -> bool:
    # The rights to execute are dropped only at exec, so the question is put to a shell that has dropped them.
    question = f'test -x "{program}" && test -r "{program}" && test -w "{home}"'
    answer = subprocess.run([*become, "/bin/sh", "-c", question], cwd="/", capture_output=True, check=False)
    return answer.returncode == 0


def _copied(programs: Path, target: Path) -> Path:
    """The installation beside its libraries: programs find them by a relative path."""
    installation = programs.parent
    package = installation.parent
    copy = target / package.name / installation.name
    if not copy.exists():
        shutil.copytree(installation, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name)
        subprocess.run(["chmod", "-R", "a+rX", str(target)], check=True)
    return copy / programs.name
