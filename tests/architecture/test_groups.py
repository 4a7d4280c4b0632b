"""Tests that share servers, or a system of their own, run in one process, one after another."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("together")
def test_a_group_of_tests_is_kept_together(request: pytest.FixtureRequest) -> None:
    # The controller learns of a group from the test's id alone; with pytest 9.2 pytest-xdist no longer got it in there.
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@together")
