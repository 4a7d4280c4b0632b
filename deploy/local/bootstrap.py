"""Create `.venv` on a machine that has Python 3.11 or newer; needs no pip, no venv module and no root.

Run as `python3 -I deploy/local/bootstrap.py [--bench]`; uses the standard library alone. uv does the work: the uv on
PATH, or one version of it from the package index, stored under `.local/packages/uv/` and checked against the digest
below. `--bench` also installs the packages that the benchmarks compare with; later runs keep them.
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
USE_COMPOSE = "use `docker compose up` instead."
_BENCH = "bench\n"  # the second line of the stamp file
PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def local() -> str:
    return os.path.abspath(os.path.expanduser(os.environ.get("FMN_LOCAL") or os.path.join(PROJECT, ".local")))


def require_machine() -> None:
    """Exit with one sentence on a machine that can't run the embedded stack."""
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        here = f"{platform.system()} on {platform.machine()}"
        sys.exit(f"The embedded stack needs Linux on x86-64 and this is {here}: {USE_COMPOSE}")
    if platform.libc_ver()[0] != "glibc":
        sys.exit("The embedded stack needs a Linux with glibc (for mongod), such as Debian: " + USE_COMPOSE)
    rabbit = shutil.which("rabbitmq-server") or os.path.exists("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if not rabbit and not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        sys.exit("The embedded stack gets RabbitMQ from apt and this machine has none: install it, or " + USE_COMPOSE)


def require_python() -> None:
    """Restart under a newer Python when this one is too old, or exit with one sentence."""
    if sys.version_info >= PYTHON_OLDEST:
        return
    for minor in range(15, 10, -1):
        newer = shutil.which(f"python3.{minor}")
        if newer:
            os.execv(newer, [newer, "-I", os.path.abspath(__file__), *sys.argv[1:]])  # noqa: S606
    sys.exit(f"Forget-me-not needs Python 3.11 or newer and this is {platform.python_version()}: {USE_COMPOSE}")


def index() -> str:
    """Return the package index that the environment configures, or the one in uv.lock."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name].rstrip("/")
    with open(os.path.join(PROJECT, "uv.lock"), encoding="utf-8") as file:
        named = re.search(r'registry = "([^"]+)"', file.read())
    if not named:
        sys.exit("uv.lock names no package index: set UV_DEFAULT_INDEX, or " + USE_COMPOSE)
    return named[1]


def fetch(url: str, accept: str = "*/*") -> bytes:
    """Return the content of a URL. urllib honours the proxy variables, and SSL_CERT_FILE through OpenSSL."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": accept}
    if parts.username:
        credentials = urllib.parse.unquote(f"{parts.username}:{parts.password or ''}")
        headers["Authorization"] = "Basic " + base64.b64encode(credentials.encode()).decode()
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if urllib.parse.urlsplit(url).scheme not in ("https", "http", "file"):
        sys.exit(f"The package index's URL {url} must begin with https, http or file.")
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as answer:  # noqa: S310
        return bytes(answer.read())


def wheel_url() -> str:
    page_url = index() + "/uv/"
    page = fetch(page_url, "application/vnd.pypi.simple.v1+json, text/html;q=0.5").decode()
    try:
        found = [entry["url"] for entry in json.loads(page)["files"] if entry["filename"] == UV_WHEEL]
    except ValueError:
        found = [html.unescape(link) for link in re.findall(r'href="([^"]+)"', page) if UV_WHEEL in link]
    if not found:
        sys.exit(f"The package index at {index()} doesn't offer {UV_WHEEL}: install uv, or {USE_COMPOSE}")
    return urllib.parse.urljoin(page_url, str(found[0]))


def installed_uv() -> str:
    """Return the path of an installed uv that can read the lock file, or an empty string."""
    path = shutil.which("uv")
    if path:
        answer = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)  # noqa: S603
        version = re.match(r"uv (\d+)\.(\d+)", answer.stdout)
        if version and (int(version[1]), int(version[2])) >= UV_OLDEST:
            return path
    return ""


def downloaded_uv() -> str:
    """Return the path of the uv under `.local/packages/uv/`; download it the first time."""
    folder = os.path.join(local(), "packages", "uv", UV_VERSION)
    program = os.path.join(folder, "uv")
    if os.path.exists(program):
        return program
    print(f"downloading uv {UV_VERSION}, which sets up the Python environment (once)", flush=True)  # noqa: T201
    try:
        content = fetch(wheel_url())
    except (urllib.error.URLError, OSError) as error:
        sys.exit(f"uv isn't installed and can't be downloaded from {index()} ({error}): install uv, or {USE_COMPOSE}")
    if hashlib.sha256(content).hexdigest() != UV_SHA256:
        sys.exit(f"{UV_WHEEL} from {index()} has another SHA-256 than expected.")
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
    """Install what the lock file names into `.venv`, unless that is already done."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "uv.lock"):
        with open(os.path.join(PROJECT, name), "rb") as file:
            digest.update(file.read())
    # The environment contains its own absolute path, so a copied checkout needs a new one.
    wanted = f"{digest.hexdigest()} {PROJECT}\n"
    stamp = os.path.join(PROJECT, ".venv", "forgetmenot-synced")
    synced = ""
    if os.path.exists(stamp):
        with open(stamp) as file:
            synced = file.read()
    # Once installed, the benchmarks' packages stay after a plain set-up and after a change of the lock file.
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
        # Trust the machine's certificates, which uv doesn't by default. (Its older and its newer setting.)
        env.setdefault("UV_NATIVE_TLS", "true")
        env.setdefault("UV_SYSTEM_CERTS", "true")
    uv = installed_uv()
    home = os.path.expanduser("~")
    if not uv or not os.access(home, os.W_OK):
        env.setdefault("UV_CACHE_DIR", os.path.join(local(), "packages", "uv-cache"))
    uv = uv or downloaded_uv()
    command = [uv, "sync", "--frozen", "--python", sys.executable]
    if wanted.endswith(_BENCH):
        command += ["--group", "bench"]
    if subprocess.run(command, cwd=PROJECT, env=env, check=False).returncode:  # noqa: S603
        sys.exit("The Python environment could not be created; uv's messages are above.")
    with open(stamp, "w") as file:
        file.write(wanted)


if __name__ == "__main__":
    require_machine()
    require_python()
    sync(bench="--bench" in sys.argv[1:])
