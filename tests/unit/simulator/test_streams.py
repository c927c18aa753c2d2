"""How a world comes to disk: packed, resumed after an interruption, a day at a time."""

import gzip
from datetime import date
from pathlib import Path

import pytest

from ingest.simulator import simulate

WORLD = {"start": date(2026, 1, 21), "days": 4, "scale": 0.004, "seed": 5, "sites": ("CDC", "H1", "H5", "H6")}


def files(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    out = tmp_path_factory.mktemp("plain")
    simulate(out, **WORLD)
    return files(out)


def test_a_packed_world_holds_the_same_bytes_in_fewer(plain, tmp_path):
    simulate(tmp_path, **WORLD, is_packed=True)
    packed = files(tmp_path)
    assert sum(map(len, packed.values())) < sum(map(len, plain.values())) / 3
    for path, content in packed.items():
        if path.endswith(".gz"):
            assert gzip.decompress(content) == plain[path.removesuffix(".gz")], path
        elif not path.startswith("answer_key"):
            assert content == plain[path], path
    names = {path.removesuffix(".gz") for path in packed}
    assert names == set(plain)


class Interrupted(Exception):
    pass


def test_an_interrupted_world_goes_on_and_is_the_same(plain, tmp_path):
    def stop(d: date, number: int, days: int) -> None:
        if number == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        simulate(tmp_path, **WORLD, progress=stop)
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.csv")}
    assert written
    simulate(tmp_path, **WORLD, is_resumed=True)
    assert files(tmp_path) == plain
    assert all(path.stat().st_mtime_ns == at for path, at in written.items() if "answer_key" not in path.parts)


def test_another_world_is_not_resumed(tmp_path):
    with pytest.raises(ValueError, match="holds no part of this world"):
        simulate(tmp_path, **WORLD, is_resumed=True)
    simulate(tmp_path, **{**WORLD, "days": 1})
    with pytest.raises(ValueError, match="holds no part of this world"):
        simulate(tmp_path, **WORLD, is_resumed=True)


def test_time_lapse_delivers_a_day_before_it_waits(tmp_path, monkeypatch):
    waits: list[tuple[float, int]] = []
    monkeypatch.setattr(
        "ingest.simulator.time.sleep", lambda seconds: waits.append((seconds, len(list(tmp_path.glob("ehr/*")))))
    )
    simulate(tmp_path, **{**WORLD, "days": 3, "sites": ("H1",)}, seconds_a_day=3600)
    assert [folders for _, folders in waits] == [2, 3, 3]
    assert all(seconds > 0 for seconds, _ in waits)
