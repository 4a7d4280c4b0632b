"""The spool and the meter: what is looked at twice, counted and hashed on its way."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pikepdf
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from services.document.upload.errors import FileTooLarge
from services.document.upload.meter import Meter
from services.document.upload.spool import Spool
from tests import samples


def on_disk(spool: Spool) -> bytes:
    return os.pread(spool._descriptor, spool.size + 100, 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.one_of(
            st.binary(max_size=200_000).map(lambda data: ("write", data)),
            st.tuples(st.just("seek"), st.integers(0, 400_000)),
            st.tuples(st.just("read"), st.integers(0, 200_000)),
        ),
        max_size=20,
    )
)
def test_a_spool_reads_as_a_file_would(tmp_path: Path, steps: list[tuple[str, bytes | int]]) -> None:
    whole, place = b"", 0
    with Spool(tmp_path) as spool:
        for step, value in steps:
            if isinstance(value, bytes):
                assert spool.write(value) == len(value)
                whole += value
            elif step == "seek":
                place = spool.seek(value)
            else:
                assert spool.read(value) == whole[place : place + value]
                place = max(place, min(place + value, len(whole)))
            assert spool.tell() == place
        assert spool.size == len(whole)
        assert spool.seek(0, os.SEEK_END) == len(whole)
        if whole:
            assert spool.seek(-1, os.SEEK_CUR) == len(whole) - 1
        spool.seek(0)
        assert spool.readall() == whole


def test_no_plaintext_and_no_name_lie_on_the_disk(tmp_path: Path) -> None:
    plain = samples.SECRET.encode() * 10_000
    with Spool(tmp_path) as first, Spool(tmp_path) as second:
        for spool in (first, second):
            spool.write(plain)
            assert list(tmp_path.iterdir()) == []
            assert os.fstat(spool._descriptor).st_mode & 0o777 == 0o600
            assert len(on_disk(spool)) == len(plain)
            assert samples.SECRET.encode() not in on_disk(spool)
        assert on_disk(first) != on_disk(second)


def test_a_file_system_without_nameless_files_serves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "O_TMPFILE", os.O_WRONLY)  # a directory can't be opened so: EISDIR
    with Spool(tmp_path) as spool:
        spool.write(b"scan")
        assert spool.read() == b"scan"
        assert list(tmp_path.iterdir()) == []
        assert os.fstat(spool._descriptor).st_mode & 0o777 == 0o600


def test_libraries_read_through_it(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        spool.write(samples.pdf_scan(3))
        with pikepdf.open(spool, access_mode=pikepdf.AccessMode.stream) as document:  # type: ignore[arg-type]
            assert len(document.pages) == 3
    with Spool(tmp_path) as spool:
        spool.write(samples.jpeg(64, 48))
        spool.seek(0)
        with Image.open(spool) as picture:  # type: ignore[arg-type]
            picture.load()
            assert picture.size == (64, 48)


def test_a_closed_spool_is_closed(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.write(b"scan")
    spool.close()
    spool.close()
    for use in (spool.tell, lambda: spool.write(b"x"), lambda: spool.read(1), lambda: spool.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_meter_counts_hashes_and_spools(tmp_path: Path) -> None:
    data = os.urandom(700_001)
    with Spool(tmp_path) as spool:
        meter = Meter(io.BytesIO(data), limit=len(data), spool=spool)
        assert meter.read(10) == data[:10]
        assert not meter.ended
        assert meter.read() == data[10:]
        assert (meter.ended, meter.size, meter.sha256) == (True, len(data), hashlib.sha256(data).hexdigest())
        spool.seek(0)
        assert spool.readall() == data


def test_a_meter_stops_at_the_limit(tmp_path: Path) -> None:
    with Spool(tmp_path) as spool:
        meter = Meter(io.BytesIO(b"x" * 5001), limit=5000, spool=spool)
        with pytest.raises(FileTooLarge):
            meter.read()
        assert spool.size <= 5000
