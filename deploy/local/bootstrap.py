"""Makes `.venv` on a machine that has Python 3.11 or newer and nothing else for it: no pip, no venv module, no root.

Run as `python3 -I deploy/local/bootstrap.py [--bench]`, with the standard library alone. uv does the work: the one on
PATH, or else one version of it, fetched from the package index under `.local/packages/uv/` and compared with its digest
below. `--bench` brings what the benchmarks compare with too; once it is there it stays.
"""

import base64
import hashlib
import html
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile

UV_VERSION = "0.13.9"
UV_WHEEL = f"uv-{UV_VERSION}-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
UV_SHA256 = "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19"
UV_OLDEST = (0, 9)
PYTHON_OLDEST = (3, 11)
SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
OTHERWISE = "use `docker compose up` instead."
_BENCH = "bench\n"  # the stamp's second line
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def local() -> str:
    return os.path.abspath(os.path.expanduser(os.environ.get("FMN_LOCAL") or os.path.join(PROJECT, ".local")))


def require_machine() -> None:
    """End with one sentence on a machine that can't run the embedded stack."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        sys.exit(
            "The embedded stack needs Linux on x86-64 and this is "
            f"{platform.system()} on {platform.machine()}: {OTHERWISE}"
        )
    if platform.libc_ver()[0] != "glibc":
        sys.exit("The embedded stack needs a Linux with glibc (MongoDB's program does), such as Debian: " + OTHERWISE)
    rabbit = shutil.which("rabbitmq-server") or os.path.exists("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not rabbit and not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        sys.exit(
            "The embedded stack takes RabbitMQ from apt, which this machine lacks: install RabbitMQ, or " + OTHERWISE
        )


def require_python() -> None:
    """Go on under a newer Python when this one is too old, or end with one sentence."""
    if sys.version_info >= PYTHON_OLDEST:
        return
    for minor in range(15, 10, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, "-I", os.path.abspath(__file__), *sys.argv[1:]])  # noqa: S606
    sys.exit(f"Forget-me-not needs Python 3.11 or newer and this is {platform.python_version()}: {OTHERWISE}")


def index() -> str:
    """The package index that this machine is told to use, or the public one."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    # The index that the lock file's packages come from.
    with open(os.path.join(PROJECT, "uv.lock"), encoding="utf-8") as file:
        named = re.search(r'registry = "([^"]+)"', file.read())
    if not named:
        sys.exit("uv.lock names no package index: set UV_DEFAULT_INDEX, or " + OTHERWISE)
    return named[1]


def fetch(url: str, accept: str = "*/*") -> bytes:
    """What is at the address. urllib honours the proxy variables, and SSL_CERT_FILE through OpenSSL."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": accept}
    if parts.username:
        words = "{}:{}".format(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
        headers["Authorization"] = "Basic " + base64.b64encode(words.encode()).decode()
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if urllib.parse.urlsplit(url).scheme not in ("https", "http", "file"):
        sys.exit(f"The package index's address {url} isn't one that can be fetched.")
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as answer:  # noqa: S310
        return bytes(answer.read())


def wheel_address() -> str:
    page_address = index() + "/uv/"
    page = fetch(page_address, "application/vnd.pypi.simple.v1+json, text/html;q=0.5").decode()
    try:
        found = [entry["url"] for entry in json.loads(page)["files"] if entry["filename"] == UV_WHEEL]
    except ValueError:
        found = [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page) if UV_WHEEL in link]
    if not found:
        sys.exit(f"The package index at {index()} doesn't offer {UV_WHEEL}: install uv, or {OTHERWISE}")
    return urllib.parse.urljoin(page_address, str(found[0]))


def installed_uv() -> str:
    """The uv on PATH, unless it is too old to read the lock file; empty without one."""
    path = shutil.which("uv")
    if path:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        version = re.match(r"uv (\d+)\.(\d+)", answer.stdout)
        if version and (int(version[1]), int(version[2])) >= UV_OLDEST:
            return path
    return ""


def fetched_uv() -> str:
    """The uv under `.local/packages/uv/`, fetched the first time."""
    folder = os.path.join(local(), "packages", "uv", UV_VERSION)
    program = os.path.join(folder, "uv")
    if os.path.exists(program):
        return program
    print(f"fetching uv {UV_VERSION}, which sets up the Python environment (once)", flush=True)  # noqa: T201
    try:
        content = fetch(wheel_address())
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"uv isn't installed and can't be fetched from {index()} ({error}): install uv, or {OTHERWISE}")
    if hashlib.sha256(content).hexdigest() != UV_SHA256:
        sys.exit(f"What {index()} gave as {UV_WHEEL} isn't that file: its SHA-256 differs.")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    wheel = os.path.join(folder, "uv.whl")
    with open(wheel, "wb") as file:
        file.write(content)
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".data/scripts/uv"))
        with archive.open(name) as source, open(program + ".part", "wb") as target:
            shutil.copyfileobj(source, target)
    os.unlink(wheel)
    os.chmod(program + ".part", 0o700)
    os.replace(program + ".part", program)
    return program


def sync(bench: bool = False) -> None:
    """Bring `.venv` to what the lock file says, unless it was brought there already."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "uv.lock"):
        with open(os.path.join(PROJECT, name), "rb") as file:
            digest.update(file.read())
    # The environment names its folder inside itself: one that was copied elsewhere is made anew.
    wanted = f"{digest.hexdigest()} {PROJECT}\n"
    stamp = os.path.join(PROJECT, ".venv", "forgetmenot-synced")
    synced = ""
    if os.path.exists(stamp):
        with open(stamp) as file:
            synced = file.read()
    # Neither a plain set-up nor a new lock file takes the benchmarks' packages away from somebody who has them.
    if bench or synced.endswith(_BENCH):
        wanted += _BENCH
    if synced == wanted:
        return
    env = dict(os.environ)
    env["UV_PYTHON_DOWNLOADS"] = "never"
    env.pop("VIRTUAL_ENV", None)
    env["TMPDIR"] = os.path.join(local(), "packages", "uv-temp")  # uv leaves a lock there
    os.makedirs(env["TMPDIR"], mode=0o700, exist_ok=True)
    if os.path.exists(SYSTEM_CERTIFICATES):
        # Like apt and Python, and unlike uv by itself, trust whom the machine trusts. (The older name, and the newer.)
        env.setdefault("UV_NATIVE_TLS", "true")
        env.setdefault("UV_SYSTEM_CERTS", "true")
    uv = installed_uv()
    home = os.path.expanduser("~")
    if not uv or not os.access(home, os.W_OK):
        env.setdefault("UV_CACHE_DIR", os.path.join(local(), "packages", "uv-cache"))
    uv = uv or fetched_uv()
    command = [uv, "sync", "--frozen", "--python", sys.executable]
    if wanted.endswith(_BENCH):
        command += ["--group", "bench"]
    if subprocess.run(command, cwd=PROJECT, env=env, check=False).returncode:  # noqa: S603
        sys.exit("The Python environment could not be made; uv's words are above.")
    with open(stamp, "w") as file:
        file.write(wanted)


if __name__ == "__main__":
    require_machine()
    require_python()
    sync(bench="--bench" in sys.argv[1:])
