"""Scans of a size, and sending and fetching them as an internal app would: over one kept connection, as a stream."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Iterator

import pikepdf
import urllib3

CHUNK = 256 * 1024
_PAGE_BYTES = 2_000_000


def scan(size: int, seed: int = 1) -> bytes:
    """A PDF of about `size` bytes: pictures that don't compress any further, one a page, as a scanner makes them."""
    noise = random.Random(seed)
    document = pikepdf.new()
    for number in range(max(1, size // _PAGE_BYTES)):
        side = 1000
        pixels = noise.randbytes(side * side * 2)[: min(_PAGE_BYTES, size)]
        image = pikepdf.Stream(document, zlib.compress(pixels.ljust(side * side * 2, b"\0"), 0))
        image.update(
            pikepdf.Dictionary(
                Type=pikepdf.Name.XObject,
                Subtype=pikepdf.Name.Image,
                Width=side,
                Height=side * 2,
                BitsPerComponent=8,
                ColorSpace=pikepdf.Name.DeviceGray,
                Filter=pikepdf.Name.FlateDecode,
            )
        )
        page = document.add_blank_page(page_size=(595, 842))
        page.Resources = pikepdf.Dictionary(XObject=pikepdf.Dictionary({f"/Im{number}": image}))
        page.Contents = pikepdf.Stream(document, f"q 595 0 0 842 0 0 cm /Im{number} Do Q".encode())
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


class Sender:
    """One client of the document service."""

    def __init__(self, url: str, token: str) -> None:
        self._url = url
        self._http = urllib3.PoolManager(maxsize=50, timeout=urllib3.Timeout(120), retries=False)
        self._headers = {"Authorization": f"Bearer {token}"}

    def upload(self, case_id: str, form: Form, key: str) -> str:
        """File a document under an Idempotency-Key; its id."""
        answer = self._http.request(
            "POST",
            f"{self._url}/v1/cases/{case_id}/documents",
            body=form.body(),
            headers=self._headers
            | {
                "Content-Type": f"multipart/form-data; boundary={form.BOUNDARY}",
                "Content-Length": str(form.length),
                "Idempotency-Key": key,
            },
        )
        assert answer.status == 201, (answer.status, answer.data[:500])
        return str(answer.json()["id"])

    def download(self, document_id: str) -> int:
        """Fetch a document's bytes; how many they were."""
        answer = self._http.request(
            "GET",
            f"{self._url}/v1/documents/{document_id}/content",
            headers=self._headers,
            preload_content=False,
        )
        assert answer.status == 200, answer.status
        return received(answer)

    def preview(self, document_id: str) -> int:
        """Have the first page shown; how many bytes the picture has."""
        url = f"{self._url}/v1/documents/{document_id}/preview"
        answer = self._http.request("GET", url, headers=self._headers)
        assert answer.status == 200, (answer.status, answer.data[:500])
        return len(answer.data)

    def remove(self, document_id: str) -> None:
        url = f"{self._url}/v1/documents/{document_id}"
        etag = self._http.request("GET", url, headers=self._headers).headers["ETag"]
        answer = self._http.request("DELETE", url, headers=self._headers | {"If-Match": etag})
        assert answer.status == 204, answer.status


class Form:
    """A document's form. Its file is sent in pieces, so that many clients may share one copy of it."""

    BOUNDARY = "bench-boundary-5f2c6c1e"

    def __init__(self, content: bytes) -> None:
        self._content = content
        head = "".join(
            f'--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in (("kind", "ehc_plan"), ("source", "family"))
        )
        self._head = (
            f'{head}--{self.BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="scan.pdf"\r\n'
            "Content-Type: application/pdf\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{self.BOUNDARY}--\r\n".encode()
        self.length = len(self._head) + len(content) + len(self._tail)

    def body(self) -> Iterator[memoryview]:
        view = memoryview(self._content)
        yield memoryview(self._head)
        for start in range(0, len(view), CHUNK):
            yield view[start : start + CHUNK]
        yield memoryview(self._tail)


def received(answer: urllib3.BaseHTTPResponse) -> int:
    """Read an answer to its end, piece by piece, and give its connection back; how many bytes it had."""
    size = 0
    while piece := answer.read(CHUNK):
        size += len(piece)
    answer.release_conn()
    return size
