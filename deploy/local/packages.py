"""RabbitMQ, and shared libraries that mongod lacks, from the machine's Debian or Ubuntu packages, without root.

apt keeps separate state, lists and caches under `packages/`, checks signatures as usual, and installs nothing: this
module unpacks the packages there. An installed RabbitMQ is used as it is.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError, UnsupportedMachine
from deploy.local.places import private_folder, write_private

_INSTALLED = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_DEPENDS_OPTIONS = ("--recurse", "--no-recommends", "--no-suggests", "--no-conflicts", "--no-breaks", "--no-replaces",
         "--no-enhances")  # fmt: skip
# Debian and Ubuntu renamed libcurl4 with the 64-bit time_t transition.
_LIBRARY_PACKAGES = (
    "libcurl4",
    "libcurl4t64",
    "libssl3",
    "libssl3t64",
    "libtinfo6",
    "libstdc++6",
    "libsctp1",
    "zlib1g",
)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RabbitInstallation:
    """The server script of a RabbitMQ, and the folders to prepend to PATH and to the library path."""

    script: Path
    bin_folders: tuple[Path, ...]
    library_folders: tuple[Path, ...]


def find_rabbitmq(packages: Path, say: Say) -> RabbitInstallation:
    """Return the installed RabbitMQ, or the unpacked one, which is downloaded the first time (34 MB).

    say: called with progress texts. Raises UnsupportedMachine without apt, and StackError when apt can't get it.
    """
    if _INSTALLED.exists() and shutil.which("erl"):
        return RabbitInstallation(script=_INSTALLED, bin_folders=(), library_folders=())
    found = shutil.which("rabbitmq-server")
    if found and Path(found).parent != Path("/usr/sbin"):  # Debian's wrapper there needs root
        return RabbitInstallation(script=Path(found), bin_folders=(), library_folders=())
    root = packages / "rabbitmq"
    with _locked(packages):
        if not (root / "complete").exists():
            _unpack_rabbit(packages, root, say)
        elif (unpacked_at := (root / "complete").read_text()) != str(root):
            _point_scripts(root, unpacked_at)  # FMN_LOCAL was moved or copied
            (root / "complete").write_text(str(root))
    return RabbitInstallation(
        script=root / "usr/lib/rabbitmq/bin/rabbitmq-server",
        bin_folders=(root / "usr/bin", root / "usr/lib/rabbitmq/bin"),
        library_folders=library_folders(packages),
    )


def unpack_program(packages: Path, package: str, depends: str, say: Say) -> Path | None:
    """Return the folder under which a package and its dependencies are unpacked; they are downloaded the first time.

    depends: a pattern that the names of those dependencies begin with; what is installed isn't downloaded. None where
    the machine's sources don't offer the package. Raises UnsupportedMachine without apt, and StackError.
    """
    root = packages / package
    with _locked(packages):
        if not (root / "complete").exists():
            apt = _Apt(packages, say)
            if not apt.available([package]):
                return None
            say(f"unpacking the distribution's package {package} (once)")
            needed = [name for name in apt.dependencies([package], depends) if not _installed(name)]
            apt.unpack([package, *needed], root)
            (root / "complete").touch()
    return root


def require_libraries(packages: Path, programs: Sequence[Path], say: Say) -> None:
    """Make each program's shared libraries available; download those that the machine lacks."""
    if missing_libraries(packages, programs):
        with _locked(packages):
            _download_libraries(packages, programs, say)


def _download_libraries(packages: Path, programs: Sequence[Path], say: Say) -> None:
    if not missing_libraries(packages, programs):
        return
    say("downloading shared libraries that this machine lacks (once)")
    root = packages / "libraries"
    apt = _Apt(packages, say)
    names = apt.dependencies(apt.available(_LIBRARY_PACKAGES), r"lib|zlib")
    apt.unpack([name for name in names if not _installed(name)], root)
    if still := missing_libraries(packages, programs):
        raise StackError(
            f"{programs[0].name} needs shared libraries that no package of this machine has: {', '.join(still)}. "
            "Install them, or use `docker compose up` instead."
        )


def missing_libraries(packages: Path, programs: Sequence[Path]) -> list[str]:
    """Return the names of shared libraries that the programs would not find."""
    path = ":".join(map(str, library_folders(packages)))
    missing = set()
    for program in programs:
        answer = subprocess.run(  # noqa: S603
            ["/usr/bin/ldd", str(program)],
            capture_output=True,
            text=True,
            check=False,
            env={"LD_LIBRARY_PATH": path, "LC_ALL": "C", "PATH": "/usr/bin:/bin"},
        )
        missing.update(re.findall(r"^\s*(\S+) => not found", answer.stdout, re.MULTILINE))
    return sorted(missing)


def library_folders(packages: Path) -> tuple[Path, ...]:
    """Return the folders of downloaded libraries, for LD_LIBRARY_PATH; none on most machines."""
    root = packages / "libraries"
    return tuple(
        folder for folder in (root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu") if folder.is_dir()
    )


@contextmanager
def _locked(packages: Path) -> Iterator[None]:
    """Lock apt's folders, which all threads and processes share."""
    with (packages / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _unpack_rabbit(packages: Path, root: Path, say: Say) -> None:
    say("RabbitMQ isn't installed: unpacking the distribution's packages (34 MB, once)")
    apt = _Apt(packages, say)
    if not apt.available(["rabbitmq-server"]):
        raise StackError(
            "The machine's package sources don't offer rabbitmq-server (Debian's main and Ubuntu's universe do). "
            f"See {apt.log}; or use `docker compose up` instead."
        )
    apt.unpack(["rabbitmq-server", *apt.dependencies(["rabbitmq-server"], "erlang-")], root)
    _point_scripts(root, "")
    beam = next(iter((root / "usr/lib/erlang").glob("erts-*/bin/beam.smp")))
    crypto = (root / "usr/lib/erlang/lib").glob("crypto-*/priv/lib/crypto.so")
    _download_libraries(packages, [beam, *crypto], say)
    (root / "complete").write_text(str(root))


def _point_scripts(root: Path, before: str) -> None:
    """Set the root folder in Erlang's scripts. before: the root folder that they name; empty for the package's own."""
    old = f'ROOTDIR="{before}/usr/lib/erlang"' if before else "ROOTDIR=/usr/lib/erlang"
    scripts = [path for name in ("erl", "start") for path in (root / "usr/lib/erlang").glob(f"**/bin/{name}")]
    for script in scripts:
        if not script.is_symlink() and old in (text := script.read_text()):
            script.write_text(text.replace(old, f'ROOTDIR="{root}/usr/lib/erlang"'))


class _Apt:
    """apt with separate folders, and with the machine's sources and keys."""

    def __init__(self, packages: Path, say: Say) -> None:
        for tool in ("apt-get", "apt-cache", "dpkg-deb", "dpkg-query"):
            if not shutil.which(tool):
                raise UnsupportedMachine(
                    f"The embedded stack takes RabbitMQ from Debian's or Ubuntu's packages and this machine has "
                    f"no {tool}: install RabbitMQ, or use `docker compose up` instead."
                )
        self.folder = private_folder(packages / "apt")
        self.debs = private_folder(self.folder / "debs")
        self.log = self.folder / "apt.log"
        for name in ("state/lists/partial", "cache/archives/partial", "log"):
            private_folder(self.folder / name)
        quoted = str(self.folder).replace('"', "")
        hooks = ("APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success",
                 "DPkg::Pre-Invoke", "DPkg::Post-Invoke", "DPkg::Pre-Install-Pkgs")  # fmt: skip
        self.config = write_private(
            self.folder / "apt.conf",
            # The machine's hooks clean up the machine's folders and must not run for ours.
            "".join(f"#clear {hook};\n" for hook in hooks)
            + f'Dir::State "{quoted}/state";\nDir::State::lists "{quoted}/state/lists";\n'
            + f'Dir::Cache "{quoted}/cache";\nDir::Cache::archives "{quoted}/cache/archives";\n'
            + f'Dir::Log "{quoted}/log";\nDir::State::status "/var/lib/dpkg/status";\n'
            # As root, apt would download as user _apt, which can't enter our folders.
            + 'APT::Sandbox::User "root";\nAcquire::Languages "none";\nAcquire::Retries "3";\n'
            + 'APT::Get::AllowUnauthenticated "false";\nAcquire::AllowInsecureRepositories "false";\n',
        )
        say("reading the package lists (apt, with separate folders)")
        # Not checked: a third-party source may fail, and `available` says whether the packages are there.
        self._run("apt-get", "update", check=False)

    def _run(self, tool: str, *words: str, check: bool = True) -> str:
        answer = subprocess.run(  # noqa: S603
            [tool, "-c", str(self.config), "-q", *words],
            capture_output=True,
            text=True,
            check=False,
            cwd=self.debs,
            env=dict(os.environ) | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        )
        with self.log.open("a") as log:
            log.write(f"$ {tool} {' '.join(words)}\n{answer.stdout}{answer.stderr}\n")
        if check and answer.returncode:
            raise StackError(f"`{tool} {words[0]}` failed; see {self.log}. Or use `docker compose up` instead.")
        return answer.stdout

    def available(self, names: Sequence[str]) -> list[str]:
        """Return those of the packages that the machine's sources offer."""
        answer = self._run("apt-cache", "policy", *names)
        offered = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (?!\(none\))", answer, re.MULTILINE)
        return [name for name in names if name in offered]

    def dependencies(self, names: Sequence[str], pattern: str) -> list[str]:
        """Return the packages and all their dependencies, if their names begin with the pattern."""
        if not names:
            return []
        lines = self._run("apt-cache", "depends", *_DEPENDS_OPTIONS, *names).splitlines()
        found = {line.split(":")[0] for line in lines if re.match(rf"({pattern})[\w.+-]*(:\w+)?$", line)}
        return self.available(sorted(found))

    def unpack(self, names: Sequence[str], root: Path) -> None:
        """Download the packages, signatures checked, and unpack them under `root`."""
        shutil.rmtree(root, ignore_errors=True)
        private_folder(root)
        for old in self.debs.glob("*.deb"):
            old.unlink()
        if names:
            self._run("apt-get", "download", *names)
        for package in sorted(self.debs.glob("*.deb")):
            subprocess.run(["dpkg-deb", "-x", str(package), str(root)], check=True)  # noqa: S603, S607
            package.unlink()


def _installed(name: str) -> bool:
    answer = subprocess.run(  # noqa: S603
        ["dpkg-query", "-W", "-f", "${Status}", name],  # noqa: S607
        capture_output=True,
        text=True,
        check=False,
    )
    return "install ok installed" in answer.stdout
