"""What the services' published descriptions say of an answer; every answer that a `Caller` hears is held against it.

With FMN_RECORD_EXAMPLES=on what is heard becomes the example of an operation that has none yet for that status
(`services/<service>/examples/<operation>.json`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema_rs
import requests

ROOT = Path(__file__).parents[1]
RECORDS = os.environ.get("FMN_RECORD_EXAMPLES") == "on"
_HEADERS = ("ETag", "Location", "Retry-After", "WWW-Authenticate")
_SENT = ("If-Match", "Idempotency-Key")


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a published description."""

    service: str
    method: str
    path: str
    said: Mapping[str, Any]
    # The whole document, whose components the schemas refer to.
    document: Mapping[str, Any] = field(repr=False)

    @property
    def id(self) -> str:
        return str(self.said["operationId"])

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(self.path)))

    @property
    def example_file(self) -> Path:
        return ROOT / "services" / self.service / "examples" / f"{self.id}.json"

    def misfits(self, schema: Mapping[str, Any], value: Any) -> list[str]:
        """What of the value doesn't fit a schema of this document; where, and which rule."""
        whole = {**schema, "components": self.document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
        return [f"{list(each.instance_path)}: {each.message}" for each in validator.iter_errors(value)]


def operations_of(service: str, document: Mapping[str, Any]) -> list[Operation]:
    """The operations of a document; where two paths fit, the one with fewer parameters comes first."""
    found = [
        Operation(service=service, method=method.upper(), path=path, said=said, document=document)
        for path, item in document["paths"].items()
        for method, said in item.items()
    ]
    return sorted(found, key=lambda one: one.path.count("{"))


class Described:
    """The descriptions of the services at these addresses, each fetched when it is first needed."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        self._operations: dict[str, list[Operation]] = {}
        #: The operations that were answered with success, by their ids.
        self.heard: dict[str, requests.Response] = {}

    def check(self, answer: requests.Response) -> None:
        """Fails unless the answer is one that its operation describes: status, type, headers, body."""
        found = self._operation(answer)
        if found is None:
            return
        said = found.said["responses"].get(str(answer.status_code))
        named = f"{found.id} answered {answer.status_code}"
        assert said is not None, f"{named} {_type_of(answer)}, which its description doesn't have"
        headers = said.get("headers", {})
        undescribed = [name for name in _HEADERS if name in answer.headers and name not in headers]
        assert undescribed == [], f"{named} with {undescribed}, which its description doesn't have"
        unsent = [name for name in ("ETag", "Location") if name in headers and name not in answer.headers]
        assert unsent == [], f"{named} without {unsent}, which its description has"
        content_type = answer.headers.get("Content-Type", "").partition(";")[0]
        content = said.get("content", {})
        if content_type and "application/octet-stream" not in content:
            assert content_type in content, f"{named} in {content_type}, which its description doesn't have"
        if content_type.endswith("json") and content_type in content:
            misfits = found.misfits(content[content_type]["schema"], answer.json())
            assert misfits == [], f"{named} {_type_of(answer)}: its body doesn't fit its description: {misfits}"
        if answer.ok:
            self.heard.setdefault(found.id, answer)
            if RECORDS:
                _record(found, answer)

    def _operation(self, answer: requests.Response) -> Operation | None:
        """The operation that was asked; None for what isn't published."""
        parts = urlsplit(str(answer.request.url))
        base = f"{parts.scheme}://{parts.netloc}"
        service = next((name for name, url in self._urls.items() if url == base), None)
        if service is None:
            return None
        if service not in self._operations:
            document = requests.get(f"{base}/openapi.json", timeout=60)
            if not document.ok:
                # It is just being restarted, or restored: the next answer is held against it.
                return None
            self._operations[service] = operations_of(service, document.json())
        method = str(answer.request.method)
        fits = (one for one in self._operations[service] if one.method == method and one.pattern.fullmatch(parts.path))
        return next(fits, None)


def _type_of(answer: requests.Response) -> str:
    try:
        said = answer.json()
    except ValueError:
        return ""
    return str(said.get("type", "")) if isinstance(said, dict) else ""


def _record(found: Operation, answer: requests.Response) -> None:
    file = found.example_file
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
    status = str(answer.status_code)
    if kept is not None and (status in kept["answers"] or answer.status_code == 206):
        return
    parts = urlsplit(str(answer.request.url))
    path = found.pattern.fullmatch(parts.path)
    taken = {parameter["name"] for parameter in found.said["parameters"] if parameter["in"] == "header"}
    sent = {name: answer.request.headers[name] for name in _SENT if name in taken & set(answer.request.headers)}
    places = {"path": path.groupdict() if path else {}, "query": dict(parse_qsl(parts.query)), "header": sent}
    kept = kept or {"parameters": {place: names for place, names in places.items() if names}, "answers": {}}
    if "request" not in kept and "requestBody" in found.said:
        kept["request"] = _request_of(answer.request)
    content_type = answer.headers.get("Content-Type", "")
    if content_type.startswith("application/json"):
        kept["answers"][status] = answer.json()
    elif content_type.startswith("application/jose"):
        kept["answers"][status] = answer.text
    else:
        kept["answers"][status] = None
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _request_of(request: requests.PreparedRequest) -> Any:
    """The body as an example shows it; of a form its fields, and words in place of the file."""
    kind = str(request.headers.get("Content-Type", ""))
    body = request.body.encode() if isinstance(request.body, str) else request.body or b""
    if kind.startswith("application/json"):
        return json.loads(body)
    if not kind.startswith("multipart/form-data"):
        return "the bytes of the file"
    fields = re.findall(rb'name="(\w+)"\r\n\r\n(.*?)\r\n--', bytes(body), re.DOTALL)
    return {**{name.decode(): text.decode() for name, text in fields}, "file": "the bytes of the file"}
