"""Tokens: whom they let in, and whom not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared.errors import Unauthorised, Unavailable
from shared.office import Office
from shared.ops.settings import Settings
from shared.security import authentication as auth
from shared.security.authentication import Authenticator, local_token, service_token
from shared.security.signing import BadSignature, PublicKeys, Signer, make_key, verify
from shared.uk.working_days import WorkingDays

NOW = datetime.now(UTC)
PRIVATE: dict[tuple[str, str], dict[str, Any]] = {}
PUBLIC: list[dict[str, Any]] = []
for pair in [("issuer", "issuer"), ("case", "token"), ("consent", "token"), ("case", "receipt")]:
    PRIVATE[pair], public = make_key(*pair, NOW)
    PUBLIC.append(public)
KEYS = PublicKeys(PUBLIC)
ISSUER = Signer(PRIVATE["issuer", "issuer"])


def settings(**changes: Any) -> Settings:
    office = Office(name="", phone="", email="", address=(), controller="", dpo_contact="", helpline="")
    plain = Settings(
        service="case",
        names="t",
        public_keys=Path(),
        service_urls={},
        oidc_issuer=None,
        oidc_jwks_url=None,
        oidc_audience="forgetmenot",
        s3_endpoint=None,
        s3_secure=False,
        s3_region="",
        smtp_url=None,
        smtp_plain=True,
        printer=None,
        ledger_copy=None,
        elsewhere=(),
        calendar=WorkingDays(),
        office=office,
        shell_days=7,
        safeguarding_email=None,
        safeguarding_days=2192,
        disk_floor=0.1,
        disks={},
        upload_limit_bytes=1,
        spool=None,
        time_travel=False,
        roots=(),
        mongo_url="",
        amqp_url="",
        search_key=b"",
        token_jwk={},
        receipt_jwk={},
        s3_access_key=None,
        s3_secret_key=None,
        certificate_jwk=None,
        ledger_jwk=None,
    )
    return replace(plain, **changes)


def admit(token: str, **changes: Any) -> auth.Caller:
    return Authenticator(settings(**changes), KEYS).admit(f"Bearer {token}", NOW)


def a_token(**changes: Any) -> str:
    claims = {
        "iss": auth.LOCAL_ISSUER,
        "sub": "worker-1",
        "aud": "forgetmenot",
        "roles": ["caseworker"],
        "exp": int(NOW.timestamp()) + 3600,
        **changes,
    }
    return ISSUER.sign({name: value for name, value in claims.items() if value is not None}, typ="JWT")


def test_a_local_token_names_its_caller_and_unknown_roles_are_ignored() -> None:
    token = local_token(ISSUER, sub="w|7", roles=["manager", "king", "service"], now=NOW, life=timedelta(hours=8))
    caller = admit(token)
    assert (caller.sub, caller.roles, caller.is_service) == ("w|7", {"manager"}, False)


@pytest.mark.parametrize("roles", [None, "manager", 3, [], [3, ["manager"]], {"manager": 1}])
def test_roles_that_are_no_list_of_words_are_none(roles: Any) -> None:
    assert admit(a_token(roles=roles)).roles == frozenset()


@pytest.mark.parametrize(
    "change",
    [
        {"aud": "else"},
        {"aud": None},
        {"iss": "else"},
        {"iss": None},
        {"exp": None},
        {"exp": "soon"},
        {"sub": None},
        {"sub": ""},
        {"sub": "Ann Example"},
        {"sub": "x" * 201},
        {"sub": "consent"},
        {"sub": 7},
        {"exp": int(NOW.timestamp()) - 31},
        {"nbf": int(NOW.timestamp()) + 3600},
    ],
)
def test_a_token_that_does_not_fit_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Unauthorised):
        admit(a_token(**change))


def test_half_a_minute_of_difference_between_clocks_is_borne() -> None:
    now = int(datetime.now(UTC).timestamp())
    assert admit(a_token(exp=now - 20)).sub == "worker-1"
    assert admit(a_token(nbf=now + 20)).sub == "worker-1"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic x", "Bearer x.y", "Bearer é.é.é"])
def test_no_token_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorised):
        Authenticator(settings(), KEYS).admit(header, NOW)


def test_a_token_signed_with_a_public_key_as_a_secret_is_refused() -> None:
    secret = PUBLIC[0]["x"] * 2
    claims = jwt.decode(a_token(), options={"verify_signature": False})
    forged = jwt.encode(claims, secret, "HS256", headers={"kid": PUBLIC[0]["kid"], "typ": "JWT"})
    with pytest.raises(Unauthorised):
        admit(forged)


def test_the_local_issuer_is_not_trusted_once_another_is_set() -> None:
    with pytest.raises(Unavailable):
        admit(a_token(), oidc_issuer="https://id.example", oidc_jwks_url="http://127.0.0.1:9/jwks")


def test_a_service_token_is_for_one_service_and_five_minutes() -> None:
    signer = Signer(PRIVATE["consent", "token"])
    token = service_token(signer, caller="consent", called="case", now=datetime.now(UTC))
    caller = admit(token)
    assert (caller.sub, caller.is_service) == ("consent", True)
    with pytest.raises(Unauthorised):
        admit(token, service="document")
    old = service_token(signer, caller="consent", called="case", now=NOW - timedelta(minutes=6))
    with pytest.raises(Unauthorised):
        admit(old)
    base = jwt.decode(token, options={"verify_signature": False})
    for change in ({"roles": ["service", "manager"]}, {"exp": base["exp"] + 60}, {"sub": "notifier"}, {"iat": "x"}):
        with pytest.raises(Unauthorised):
            admit(signer.sign({**base, **change}, typ="fmn-service"))
    with pytest.raises(Unauthorised):
        admit(Signer(PRIVATE["case", "receipt"]).sign({**base, "sub": "case", "iss": "case"}, typ="fmn-service"))
    with pytest.raises(Unauthorised):
        admit(signer.sign(base, typ="JWT"))


# The outside issuer


class Issuer:
    """A real HTTP server with a JWKS, counting how often it is asked."""

    def __init__(self) -> None:
        self.asked, self.keys = 0, []  # type: int, list[dict[str, Any]]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                body = json.dumps({"keys": outer.keys}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks"

    def add(self, kid: str, private: Any, algorithm: Any, **more: Any) -> None:
        self.keys.append({**json.loads(algorithm.to_jwk(private.public_key())), "kid": kid, "use": "sig", **more})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.server.shutdown()
    issuer.server.server_close()


def outside_token(key: Any, algorithm: str, kid: str) -> str:
    claims = {
        "iss": "https://id.example",
        "sub": "ann",
        "aud": ["forgetmenot", "else"],
        "roles": ["auditor"],
        "exp": int(NOW.timestamp()) + 3600,
    }
    return jwt.encode(claims, key, algorithm, headers={"kid": kid})


def test_an_outside_issuers_tokens_by_every_algorithm_of_the_list_and_no_other(issuer: Issuer) -> None:
    rsa_key = rsa.generate_private_key(65537, 2048)
    ec_key = ec.generate_private_key(ec.SECP256R1())
    issuer.keys.append({"kty": "oct", "k": "c2VjcmV0", "kid": "s"})
    issuer.add("r", rsa_key, jwt.algorithms.RSAAlgorithm)
    issuer.add("e", ec_key, jwt.algorithms.ECAlgorithm, alg="ES256")
    access_rule = Authenticator(settings(oidc_issuer="https://id.example", oidc_jwks_url=issuer.url), KEYS)
    for key, algorithm, kid in [(rsa_key, "RS256", "r"), (rsa_key, "PS256", "r"), (ec_key, "ES256", "e")]:
        assert access_rule.admit(f"Bearer {outside_token(key, algorithm, kid)}", NOW).roles == {"auditor"}
    for key, algorithm, kid in [(rsa_key, "RS512", "r"), ("secret" * 8, "HS256", "s"), (rsa_key, "RS256", "e")]:
        with pytest.raises(Unauthorised):
            access_rule.admit(f"Bearer {outside_token(key, algorithm, kid)}", NOW)
    with pytest.raises(Unauthorised):
        access_rule.admit(f"Bearer {a_token()}", NOW)
    assert issuer.asked == 1


def test_an_unknown_kid_asks_again_at_most_once_a_minute(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer.add("old", old, jwt.algorithms.ECAlgorithm)
    keys = auth.IssuerKeys(issuer.url)
    at = [1000.0]
    monkeypatch.setattr(auth.time, "monotonic", lambda: at[0])
    assert keys.lookup("old") is not None
    issuer.add("new", new, jwt.algorithms.ECAlgorithm)
    for _ in range(5):
        assert keys.lookup("new") is None
    assert issuer.asked == 1
    at[0] += 61
    assert keys.lookup("new") is not None
    assert issuer.asked == 2
    # A key that the issuer took back is not trusted for ever.
    issuer.keys.pop(0)
    at[0] += 601
    assert keys.lookup("old") is None


@pytest.mark.parametrize(
    "broken",
    [
        "a word", 7, None, [], True, {}, {"kid": "x"}, {"kid": "x", "kty": "EC"}, {"kid": "x", "kty": "unheard-of"},
        {"kid": "x", "kty": ["EC"]}, {"kid": "x", "kty": "EC", "crv": "P-256", "x": "!", "y": "!"},
        {"kid": "x", "kty": 1},
        {"kid": "x", "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kid": "x", "kty": "RSA", "n": "AQ", "e": "AA"},
        {"kid": "x", "kty": "RSA", "n": 5, "e": None}, {"kid": "x", "kty": "OKP", "crv": "X25519", "x": "AAAA"},
        {"kid": "x", "kty": "EC", "crv": {"a": 1}, "x": "AA", "y": "AA"},
        {"kid": "x", "kty": "OKP", "crv": "Ed25519", "x": "é"},
        {"kid": ["x"], "kty": "EC", "alg": ["ES256"]}, {"kid": "x", "kty": "EC", "use": {}},
        {"kty": "EC", "crv": "P-256"}, {"kid": "x", "kty": "OKP", "crv": "Ed25519", "x": "é", "fmn_use": "token"},
    ],
)  # fmt: skip
def test_an_entry_that_is_no_key_leaves_the_others_working(issuer: Issuer, broken: Any) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer.keys.append(broken)
    issuer.add("e", key, jwt.algorithms.ECAlgorithm)
    issuer.keys.append(broken)
    outside = settings(oidc_issuer="https://id.example", oidc_jwks_url=issuer.url)
    assert Authenticator(outside, KEYS).admit(f"Bearer {outside_token(key, 'ES256', 'e')}", NOW).sub == "ann"
    # So it is with the keys that are installed here.
    installed = PublicKeys([broken, *PUBLIC, broken])
    assert Authenticator(settings(), installed).admit(f"Bearer {a_token()}", NOW).sub == "worker-1"


def test_what_is_no_list_of_keys_leaves_those_that_are_known(issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    issuer.add("e", ec.generate_private_key(ec.SECP256R1()), jwt.algorithms.ECAlgorithm)
    keys, at = auth.IssuerKeys(issuer.url), [1000.0]
    monkeypatch.setattr(auth.time, "monotonic", lambda: at[0])
    assert keys.lookup("e") is not None
    for wrong in ({"e": 1}, "e", None, 7):
        issuer.keys = wrong  # type: ignore[assignment]
        at[0] += 700
        assert keys.lookup("e") is not None


@pytest.mark.parametrize(
    "typ",
    ["JWT", "jwt", "Jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+JWT", "application/jwt", None],
)
def test_the_type_of_a_token_is_compared_without_regard_to_case(issuer: Issuer, typ: str | None) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    issuer.add("e", key, jwt.algorithms.ECAlgorithm)
    claims = {"iss": "https://id.example", "sub": "ann", "aud": "forgetmenot", "exp": int(NOW.timestamp()) + 3600}
    token = jwt.encode(claims, key, "ES256", headers={"kid": "e", "typ": typ})
    outside = settings(oidc_issuer="https://id.example", oidc_jwks_url=issuer.url)
    assert Authenticator(outside, KEYS).admit(f"Bearer {token}", NOW).sub == "ann"
    local = jwt.decode(a_token(), options={"verify_signature": False})
    assert admit(ISSUER.sign(local, typ=typ or "JWT")).sub == "worker-1"


@pytest.mark.parametrize(
    "typ", ["fmn-receipt", "at+jwt ", "ＪＷＴ", "id+jwt", "application/application/jwt", 7, ["JWT"], {"a": 1}]
)
def test_a_token_of_another_type_is_refused(typ: Any) -> None:
    claims = jwt.decode(a_token(), options={"verify_signature": False})
    with pytest.raises(Unauthorised):
        admit(ISSUER.sign(claims, typ=typ))


@pytest.mark.parametrize("typ", ["FMN-Service", "application/fmn-service"])
def test_the_type_of_a_services_token_and_of_a_signature_has_any_capitals(typ: str) -> None:
    signer = Signer(PRIVATE["consent", "token"])
    claims = jwt.decode(
        service_token(signer, caller="consent", called="case", now=NOW), options={"verify_signature": False}
    )
    assert admit(signer.sign(claims, typ=typ)).is_service
    # The type says which rules hold: one is never a person's by another spelling.
    with pytest.raises(Unauthorised):
        admit(ISSUER.sign({**claims, "iss": auth.LOCAL_ISSUER, "aud": "forgetmenot", "sub": "worker-1"}, typ=typ))
    receipt = Signer(PRIVATE["case", "receipt"]).sign({"a": 1}, typ="FMN-RECEIPT")
    assert verify(receipt, KEYS, use="receipt", typ="fmn-receipt", at=NOW) == {"a": 1}


# Signatures


def test_a_signature_holds_for_its_key_use_service_type_and_time_alone() -> None:
    jws = Signer(PRIVATE["case", "receipt"]).sign({"a": 1}, typ="fmn-receipt")
    assert verify(jws, KEYS, use="receipt", service="case", typ="fmn-receipt", at=NOW) == {"a": 1}
    refused: list[tuple[str, dict[str, Any]]] = [
        ("wrong-use", {"use": "certificate"}),
        ("wrong-service", {"service": "consent"}),
        ("type", {"typ": "fmn-certificate"}),
        ("key-validity", {"at": NOW - timedelta(days=1)}),
        ("key-validity", {"at": NOW + timedelta(days=4000)}),
    ]
    for reason, change in refused:
        asked: dict[str, Any] = {"use": "receipt", "service": "case", "typ": "fmn-receipt", "at": NOW, **change}
        with pytest.raises(BadSignature, match=reason):
            verify(jws, KEYS, **asked)
    head, payload, signature = jws.split(".")
    for broken, reason in [
        (f"{head}.{payload}.{'A' * len(signature)}", "signature"),
        (f"{head}.e30.{signature}", "signature"),
        ("x", "malformed"),
        ("", "malformed"),
    ]:
        with pytest.raises(BadSignature, match=reason):
            verify(broken, KEYS, use="receipt", at=NOW)
    stranger, _ = make_key("case", "receipt", NOW)
    with pytest.raises(BadSignature, match="unknown-key"):
        verify(Signer(stranger).sign({}, typ="fmn-receipt"), KEYS, use="receipt", at=NOW)


def test_private_keys_and_keys_of_other_kinds_are_not_taken_for_public_ones() -> None:
    with pytest.raises(ValueError, match="private"):
        PublicKeys([PRIVATE["case", "receipt"]])
    with pytest.raises(ValueError, match="Ed25519"):
        PublicKeys([{**PUBLIC[0], "fmn_use": "anything"}])
    assert all("d" not in key for key in KEYS.published("receipt"))
    assert len(KEYS.published("receipt", "certificate")) == 1
