"""What docker-compose.yml, the image and the secrets for them promise, read without an engine."""

from __future__ import annotations

import json
import os
import re
import stat
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from deploy import disks, ready
from deploy.commands import api_command
from deploy.container import API_PORT
from deploy.local.places import PROJECT
from deploy.objects import minio
from deploy.objects.accounts import own_bucket_policy
from deploy.ops import provision, secrets
from shared.events import SERVICES
from shared.ops.disks import ask_at, room_of

COMPOSE = yaml.safe_load((PROJECT / "docker-compose.yml").read_text())
CONTAINERS: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name for name, container in CONTAINERS.items() if "build" in container}
LASTING = {name for name, container in CONTAINERS.items() if container["restart"] != "no"}
#: It backs up and restores all four services.
_EVERYTHING = "backup"
CADDYFILE = (PROJECT / "deploy/gateway/Caddyfile").read_text()
DOCKERFILE = (PROJECT / "deploy/Dockerfile").read_text()


def default(setting: str) -> str:
    """What a setting is unless the environment names another: `${NAME:-this}`."""
    found = re.fullmatch(r"\$\{\w+:-(.+)}", setting)
    assert found, setting
    return found[1]


def secret_folders(container: dict[str, Any]) -> list[str]:
    return [
        volume["source"].rpartition("/")[2]
        for volume in container.get("volumes", [])
        if isinstance(volume, dict) and volume["target"] == "/run/fmn/secrets"
    ]


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_has_limits_and_keeps_few_logs_and_dumps_no_core(name: str) -> None:
    container = CONTAINERS[name]
    assert container["mem_limit"] == container["memswap_limit"]
    assert container["cpus"] > 0
    assert container["pids_limit"] > 0
    assert container["ulimits"] == {"core": 0}
    assert container["cap_drop"] == ["ALL"]
    assert container["security_opt"] == ["no-new-privileges:true"]
    assert set(container["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("name", sorted(LASTING))
def test_what_stays_up_comes_back_and_says_when_it_is_ready(name: str) -> None:
    assert CONTAINERS[name]["restart"] == "unless-stopped"
    assert CONTAINERS[name]["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")


def test_what_is_waited_for_is_ready_or_has_ended_well() -> None:
    for container in CONTAINERS.values():
        for waited, how in container.get("depends_on", {}).items():
            ends = waited not in LASTING
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")


def test_the_one_container_that_may_read_what_is_everybodys_runs_only_when_it_is_asked_for() -> None:
    container = CONTAINERS[_EVERYTHING]
    assert (container["profiles"], container["restart"], container["networks"]) == (["tools"], "no", ["servers"])
    assert container["read_only"] is True
    assert set(container["cap_add"]) == {"DAC_OVERRIDE", "CHOWN"}
    roots = {volume.rpartition(":")[2] for volume in container["volumes"] if isinstance(volume, str)}
    assert {f"/roots/{service}-{place}" for service in SERVICES for place in (1, 2)} <= roots
    # The identity, which opens the archives of keys, isn't mounted: a restore names it
    assert "identity" not in json.dumps(container)


@pytest.mark.parametrize("name", sorted(OURS - {_EVERYTHING}))
def test_our_image_runs_as_nobody_special_on_a_read_only_file_system(name: str) -> None:
    container = CONTAINERS[name]
    assert container["read_only"] is True
    assert "cap_add" not in container
    assert any(entry.startswith("/tmp:") for entry in container["tmpfs"])
    uid = int(container.get("user", "10000:10000").partition(":")[0])
    assert uid > 0
    assert [secrets.READERS[folder] for folder in secret_folders(container)] == ([] if name == "disks" else [uid])


def test_every_service_runs_as_an_api_and_a_worker_with_its_own_secrets_alone() -> None:
    for service in SERVICES:
        for role in ("api", "worker"):
            container = CONTAINERS[f"{service}-{role}"]
            assert container["command"] == [service, role]
            assert secret_folders(container) == [service]


@pytest.mark.parametrize("service", SERVICES)
def test_the_roots_of_a_services_keys_are_its_own_and_its_worker_alone_may_write_them(service: str) -> None:
    def roots(name: str) -> list[str]:
        mounts = CONTAINERS[name].get("volumes", [])
        return [mount for mount in mounts if isinstance(mount, str) and "-roots-" in mount]

    mounts = {
        f"${{FMN_ROOTS_{place}_FOLDER:+${{FMN_ROOTS_{place}_FOLDER:-}}/}}{service}-roots-{place}:/roots/{service}-{place}"
        for place in (1, 2)
    }
    assert set(roots(f"{service}-worker")) == mounts
    assert set(roots(f"{service}-api")) == {f"{mount}:ro" for mount in mounts}
    others = CONTAINERS.keys() - {_EVERYTHING}
    holders = {name for name in others if any(f"{service}-roots-" in mount for mount in roots(name))}
    assert holders == {f"{service}-api", f"{service}-worker"}
    for name in holders:
        told = CONTAINERS[name]["environment"]["FMN_ROOTS"].split(",")
        assert told == [f"/roots/{service}-1", f"/roots/{service}-2"]
        uid = CONTAINERS[name]["user"].partition(":")[0]
        # An empty volume takes its owner from the image's folder.
        assert f"install -d -o {uid} -g {uid} -m 0700 {' '.join(told)}" in DOCKERFILE


def test_servers_read_their_own_secrets_as_the_uid_they_run_as() -> None:
    assert CONTAINERS["mongo"]["user"] == CONTAINERS["rabbitmq"]["user"] == "999:999"
    assert secret_folders(CONTAINERS["mongo"]) == ["mongo"]
    assert secret_folders(CONTAINERS["objects"]) == ["objects"]
    assert secret_folders(CONTAINERS["rabbitmq"]) == []


def test_the_disks_are_watched_by_a_uid_that_owns_nothing_there() -> None:
    watcher = CONTAINERS["disks"]
    assert set(watcher["volumes"]) == {"rabbitmq:/disks/rabbitmq:ro", "objects:/disks/objects:ro"}
    assert int(watcher["user"].partition(":")[0]) not in {0, 999, *secrets.READERS.values()}
    assert watcher["networks"] == ["servers"]
    asked = dict(pair.split("=") for pair in default(CONTAINERS["case-api"]["environment"]["FMN_DISKS"]).split(","))
    assert asked == {name: f"http://disks:{disks.PORT}/{name}" for name in ("rabbitmq", "objects")}


def test_the_disks_watcher_says_what_the_file_system_says_and_knows_no_other_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rabbitmq").mkdir(mode=0)
    monkeypatch.setattr(disks, "DISKS", tmp_path)
    with disks.serving("127.0.0.1", 0) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}"
        said, real = ask_at(f"{address}/rabbitmq")(), room_of(tmp_path)
        assert said.total == real.total
        assert abs(said.free - real.free) < real.total / 100
        for wrong in ("objects", "..", "rabbitmq/..", ""):
            with pytest.raises(requests.HTTPError):
                ask_at(f"{address}/{wrong}")()


def test_capabilities_are_given_with_a_reason() -> None:
    lines = (PROJECT / "docker-compose.yml").read_text().splitlines()
    for number, line in enumerate(lines):
        if "cap_add:" in line:
            assert lines[number - 1].strip().startswith("#")


def test_images_are_named_with_a_tag_and_can_be_overridden() -> None:
    images = {name: container["image"] for name, container in CONTAINERS.items() if name not in OURS}
    assert {name: default(image) for name, image in images.items()} == {
        "mongo": "mongo:8.0",
        "rabbitmq": "rabbitmq:4-management",
        "objects": "pgsty/silo:RELEASE.2026-09-03T13-18-01Z",
        "gateway": "caddy:2",
        "mailpit": "axllent/mailpit:latest",  # for a look, never for families
    }
    assert images["objects"].startswith("${OBJECT_STORE_IMAGE:-")


def test_tests_in_containers_use_the_same_images() -> None:
    from tests.containers import Images

    named = {name: CONTAINERS[name]["image"] for name in ("mongo", "rabbitmq", "objects")}
    assert {name: default(image) for name, image in named.items()} == asdict(Images())


def test_no_secret_is_in_the_compose_file() -> None:
    for container in CONTAINERS.values():
        for name, value in (container.get("environment") or {}).items():
            # The backup's is a public one.
            if re.search(r"PASSWORD|TOKEN|_KEY$|COOKIE", name) and name != "FMN_BACKUP_KEY":
                assert name.endswith("_FILE")
                assert value.startswith("/run/fmn/secrets/")
            assert not re.search(r"://[^/@\s]+:[^/@\s]+@", str(value))


def test_the_gateway_alone_is_published_and_the_catcher_only_to_this_machine() -> None:
    published = {name: container["ports"] for name, container in CONTAINERS.items() if "ports" in container}
    assert set(published) == {"gateway", "mailpit"}
    assert len(published["gateway"]) == 1
    assert published["mailpit"][0].startswith("127.0.0.1:")
    assert CONTAINERS["mailpit"]["profiles"] == ["demo"]
    networks = {name: set(container.get("networks", [])) for name, container in CONTAINERS.items()}
    assert all(networks[name] == {"servers"} for name in ("mongo", "rabbitmq", "objects", "provision", "broker"))
    assert COMPOSE["networks"]["servers"] == COMPOSE["networks"]["services"] == {"internal": True}


def test_the_relay_must_be_named_and_the_notifier_alone_is_told() -> None:
    told = {name for name, container in CONTAINERS.items() if "FMN_SMTP_URL" in (container.get("environment") or {})}
    assert told == {"notifier-api", "notifier-worker", _EVERYTHING}
    # It reads the notifier's settings, and sends nothing.
    assert CONTAINERS[_EVERYTHING]["environment"]["FMN_SMTP_URL"] == "smtp://nobody.invalid"
    for name in told - {_EVERYTHING}:
        assert CONTAINERS[name]["environment"]["FMN_SMTP_URL"].startswith("${FMN_SMTP_URL:?")
        assert (CONTAINERS[name]["environment"] | {"FMN_ROOTS": ""}).items() > (
            CONTAINERS["case-api"]["environment"] | {"FMN_ROOTS": ""}
        ).items()


def test_an_erasure_waits_until_the_printers_folder_is_certified() -> None:
    for name in ("consent-api", "consent-worker"):
        assert default(CONTAINERS[name]["environment"]["FMN_ELSEWHERE"]) == "printer"
    assert default(CONTAINERS["notifier-worker"]["environment"]["FMN_PRINTER_HOURS"]) == "72"


def test_services_can_be_told_of_servers_elsewhere() -> None:
    told = CONTAINERS["case-worker"]["environment"]
    urls = {f"FMN_{service.upper()}_URL": f"http://gateway:{8001 + n}" for n, service in enumerate(SERVICES)}
    for name, usual in {**urls, "FMN_S3_ENDPOINT": "objects:9000", "FMN_S3_SECURE": "off"}.items():
        assert told[name] == f"${{{name}:-{usual}}}"
    assert told.items() > {(n, v) for n, v in CONTAINERS["provision"]["environment"].items() if n.startswith("FMN_S3_")}


def test_a_brokers_alarm_keeps_nothing_from_starting() -> None:
    checks = CONTAINERS["rabbitmq"]["healthcheck"]["test"][1]
    assert re.findall(r"check_\w+", checks) == ["check_running", "check_port_listener"]


def test_named_volumes_are_all_used() -> None:
    text = (PROJECT / "docker-compose.yml").read_text()
    for volume in COMPOSE["volumes"]:
        assert re.search(rf"- (\$\{{\w+:-|\$\{{\w+:\+\$\{{\w+:-}}/}})?{volume}}}?:/", text), volume


def test_the_image_is_built_in_two_stages_from_what_is_named() -> None:
    assert DOCKERFILE.count("FROM python:3.13-slim-trixie") == 2
    assert DOCKERFILE.index("USER 10000:10000") > DOCKERFILE.rindex("FROM")
    assert "--require-hashes" in DOCKERFILE
    copied = {source for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.M) for source in line.split()[:-1]}
    assert copied == {"pyproject.toml", "uv.lock", "deploy", "reader", "services", "shared"}
    assert DOCKERFILE.index("chmod -R a+rX /app") < DOCKERFILE.index("compileall")
    kept = (PROJECT / ".dockerignore").read_text().splitlines()
    assert "*" in kept
    # Of several lines that match, the last one counts.
    last_taken = max(number for number, line in enumerate(kept) if line.startswith("!"))
    assert {"**/.env*", "**/*.jwk", "**/*.key", "**/*.pem"} <= set(kept[last_taken:])
    assert {line[1:] for line in kept if line.startswith("!")} == copied


# The gateway's paths


def routed(path: str) -> str | None:
    """The service that the Caddyfile's matchers give this path to, in their order."""
    for matcher in re.finditer(r"@(\w+) path_regexp (\S+)", CADDYFILE):
        if re.search(matcher[2], path):
            return matcher[1]
    return None


def routes() -> set[tuple[str, str]]:
    """Service and path of every route that a service's code declares."""
    found = set()
    for service in SERVICES:
        for file in (PROJECT / "services" / service).rglob("*.py"):
            for rule in re.findall(r'\.route\(f?"(/[^"]*)"', file.read_text()):
                found.add((service, "/v1" + re.sub(r"[<{][^>}]*[>}]", "x", rule)))
    return found


def test_every_route_of_a_service_leads_to_it() -> None:
    known = routes()
    assert len(known) > 30
    # What services alone ask of one another has no path through the door.
    inside = {
        ("consent", "/v1/clock"),
        ("consent", "/v1/ending-grants/x"),
        ("notifier", "/v1/alerts"),
        ("notifier", "/v1/ledger-heads"),
    }
    assert inside < known
    assert {(service, path) for service, path in known if routed(path) != service} == inside


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/v1/cases/x/documents", "document"),
        ("/v1/cases/x/paper-files", "document"),
        ("/v1/cases/documents", "case"),
        ("/v1/disclosures", "case"),
        ("/v1/reviews/x/answer", "consent"),
        ("/.well-known/jwks.json", "consent"),
        ("/v1/print-batches/x/posted", "notifier"),
        ("/v1/casesx", None),
        ("/metrics", None),
        ("/readyz", None),
        ("/livez", None),
        ("/case/metrics", None),
        ("/.well-known/jwks.jsonx", None),
    ],
)
def test_paths_go_where_the_contract_says_and_nowhere_else(path: str, service: str | None) -> None:
    assert routed(path) == service


def test_a_stranger_at_the_door_gets_a_problem() -> None:
    by_any_name = CADDYFILE.partition("\nhttps:// {\n")[2].partition("\n}\n")[0]
    assert "tls {$FMN_TLS:internal}" in by_any_name
    assert "import problem 421 not-found" in by_any_name


def test_each_services_change_feed_is_below_its_name() -> None:
    assert "/{args.0}/docs/* /{args.0}/v1/changes\n" in CADDYFILE
    assert routed("/v1/changes") is None


def test_every_way_to_a_service_says_whether_it_was_reached() -> None:
    assert CADDYFILE.count("handle_errors") == 1
    assert CADDYFILE.count("import unanswered\n") == 2
    assert CADDYFILE.count("import problem 503 unavailable") == 2


# The secrets


@pytest.fixture
def made(tmp_path: Path) -> Path:
    secrets.make_secrets(tmp_path / "secrets", tmp_path / ".env", readers={})
    return tmp_path / "secrets"


def test_each_secret_is_a_file_of_its_reader_alone_and_no_two_are_equal(made: Path) -> None:
    files = [path for path in made.rglob("*") if path.is_file()]
    for path in files:
        wanted = 0o644 if path.name == "public-keys.json" else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o700 for path in made.rglob("*") if path.is_dir())
    passwords = {p.read_text() for p in files if p.name.endswith("password") and p.parent.name != "provision"}
    assert len(passwords) == 1 + 1 + len(SERVICES)
    assert "demo" not in "".join(passwords)


def test_no_key_that_wraps_others_is_among_the_secrets(made: Path) -> None:
    named = {path.name for service in SERVICES for path in (made / service).rglob("*")}
    assert named == {
        "mongo-url", "amqp-url", "s3-access-key", "s3-secret-key", "search.key",
        "token.jwk", "receipt.jwk", "certificate.jwk", "consent_receipt.jwk", "grant.jwk", "ledger.jwk",
    }  # fmt: skip


def test_whoever_makes_an_account_and_whoever_has_it_know_the_same_password(made: Path) -> None:
    for service in SERVICES:
        password = (made / f"provision/{service}-mongo-password").read_text()
        assert f"mongodb://fmn-{service}:{password}@mongo:27017/" in (made / f"{service}/mongo-url").read_text()
        broker = (made / f"rabbitmq/{service}-password").read_text()
        assert (made / f"{service}/amqp-url").read_text() == f"amqp://fmn-{service}:{broker}@rabbitmq:5672/fmn"
        for name in ("s3-access-key", "s3-secret-key"):
            assert (made / service / name).read_text() == (made / f"provision/{service}-{name}").read_text()


def test_secrets_are_never_overwritten(made: Path) -> None:
    before = (made / "case/search.key").read_bytes()
    with pytest.raises(secrets.CannotMake, match="exists and is left as it is"):
        secrets.make_secrets(made, None)
    with pytest.raises(secrets.CannotMake, match="exists and is left as it is"):
        secrets.make_secrets(made.with_name("other"), made.with_name(".env"))
    assert (made / "case/search.key").read_bytes() == before
    assert not made.with_name("other").exists()


def test_only_a_demo_shares_a_key_with_a_store_without_accounts(made: Path, tmp_path: Path) -> None:
    assert (made / "objects/shared-s3-secret-key").read_text() == (made / "document/s3-secret-key").read_text()
    secrets.make_secrets(tmp_path / "real", None, readers={})
    assert not list((tmp_path / "real").rglob("shared-*"))


def test_a_demo_sends_to_the_catcher(made: Path) -> None:
    settings = made.with_name(".env").read_text()
    assert 'FMN_SMTP_URL="smtp://mailpit:1025"' in settings
    assert 'FMN_SMTP_PLAIN="on"' in settings
    required = set(re.findall(r"\$\{(\w+):\?", (PROJECT / "docker-compose.yml").read_text()))
    assert required <= set(re.findall(r"^(\w+)=", settings, re.M))


def test_a_demo_that_died_before_it_wrote_its_settings_is_taken_up_again(made: Path) -> None:
    dotenv = made.with_name(".env")
    settings, before = dotenv.read_text(), (made / "case/search.key").read_bytes()
    dotenv.rename(made / "demo.env")
    secrets.make_secrets(made, dotenv)
    assert dotenv.read_text() == settings
    assert stat.S_IMODE(dotenv.stat().st_mode) == 0o600
    assert (made / "case/search.key").read_bytes() == before
    assert not (made / "demo.env").exists()
    with pytest.raises(secrets.CannotMake, match="exists and is left as it is"):
        secrets.make_secrets(made, dotenv)


def test_secrets_may_lie_in_another_folder(made: Path) -> None:
    assert f'FMN_SECRETS_FOLDER="{made}"\n' in made.with_name(".env").read_text()
    assert '--folder "$(FMN_SECRETS_FOLDER)"' in (PROJECT / "Makefile").read_text()
    sources = [v["source"] for c in CONTAINERS.values() for v in c.get("volumes", []) if isinstance(v, dict)]
    assert all(source.startswith("${FMN_SECRETS_FOLDER:-./secrets}/") for source in sources)


def test_what_containers_mount_of_the_checkout_can_be_read_by_all_of_them(tmp_path: Path) -> None:
    mounts = [v for c in CONTAINERS.values() for v in c.get("volumes", []) if isinstance(v, str) and v.startswith("./")]
    assert {(PROJECT / mount.partition(":")[0]) for mount in mounts} == set(secrets.MOUNTED)
    closed, open_ = tmp_path / "closed", tmp_path / "open"
    for path, mode in ((closed, 0o700), (open_, 0o644)):
        path.touch()
        path.chmod(mode)
    assert secrets.let_containers_read([closed, open_]) == [closed]
    assert stat.S_IMODE(closed.stat().st_mode) == 0o744
    assert secrets.let_containers_read([closed, open_]) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away without Docker")
def test_each_folder_belongs_to_the_uid_that_reads_it(tmp_path: Path) -> None:
    secrets.make_secrets(tmp_path / "secrets", None)
    for name, uid in secrets.READERS.items():
        paths = [tmp_path / "secrets" / name, *(tmp_path / "secrets" / name).rglob("*")]
        assert {path.stat().st_uid for path in paths} == {uid}


# What containers run


def test_the_brokers_definitions_hold_hashes_and_nobody_called_guest(made: Path) -> None:
    target = made.with_name("definitions.json")
    provision.render_definitions(made / "rabbitmq", "fmn", target)
    text = target.read_text()
    definitions = json.loads(text)
    assert {user["name"] for user in definitions["users"]} == {f"fmn-{name}" for name in (*SERVICES, "admin")}
    assert not any(path.read_text() in text for path in (made / "rabbitmq").iterdir())


def test_minio_is_given_actions_by_the_names_it_knows() -> None:
    actions = minio.allowed()
    # Every unfinished upload is looked for by its key before it is aborted: an erasure does both.
    assert {"s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload"} <= set(actions)
    assert "s3:ListParts" not in actions
    policy = own_bucket_policy("fmn-document")
    assert policy["Statement"][0]["Resource"] == ["arn:aws:s3:::fmn-document", "arn:aws:s3:::fmn-document/*"]


def test_a_worker_is_ready_while_it_has_the_broker(tmp_path: Path) -> None:
    flag = tmp_path / "ready"
    assert not ready.worker_is_ready(str(flag), 5672)
    flag.touch()
    assert not ready.worker_is_ready(str(flag), 1)


def test_an_api_listens_where_the_gateway_looks() -> None:
    assert f"-api {API_PORT} " in CADDYFILE
    assert f"-api:{API_PORT} " in CADDYFILE
    assert "--logger-class" in api_command("case", "0.0.0.0:1", "/tmp")
