from pathlib import Path

import pytest

from tests.unit.quality.tiny_builds import Court


@pytest.fixture
def court(tmp_path: Path) -> Court:
    return Court(tmp_path)
