"""The file that keeps finished cells: it goes on, it loses nothing, it harms no other file."""

import os
import signal
import sqlite3
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from l2s.sweep import CorruptStoreWarning, SweepError, sweep
from l2s.sweep import store as store_module
from l2s.sweep.store import Store

from tests.sweep import cases


def run(folder, seeds, **options):
    function, store = cases.logged, folder / "store.db"
    options = {"store": store, "jobs": 1} | options
    return sweep(function, [{"folder": str(folder)}], seeds=seeds, **options)


def test_a_second_run_goes_on_where_the_first_stopped(tmp_path):
    assert repr(run(tmp_path, [1, 2])) == "2 cells: 1 setting × 2 seeds"
    more = run(tmp_path, [3, 2, 1])
    assert repr(more) == "3 cells: 1 setting × 3 seeds (2 answered from the store)"
    assert more.values("double").tolist() == [6, 4, 2]
    assert cases.runs(tmp_path) == [1, 2, 3]


def test_without_a_store_nothing_is_kept(tmp_path):
    run(tmp_path, [1], store=None)
    run(tmp_path, [1], store=None)
    assert cases.runs(tmp_path) == [1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]


def test_folders_are_made_and_a_text_path_will_do(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(tmp_path, [1], store="deep/er/store.db")
    assert run(tmp_path, [1], store="deep/er/store.db").answered == 1


def test_failed_cells_are_tried_again_and_the_others_kept(tmp_path):
    for _ in range(2):
        with pytest.raises(SweepError, match="1 of 3 cells failed") as caught:
            sweep(cases.failing, {"x": [0, 1, 2]}, seeds=[0], jobs=1, store=tmp_path / "store.db")
    assert caught.value.sweep.answered == 2


def test_functions_share_a_file_without_a_mix_up(tmp_path):
    store = tmp_path / "store.db"
    first = sweep(lambda *, seed: {"a": 1}, [{}], seeds=[0], jobs=1, store=store)
    second = sweep(lambda *, seed: {"a": 2}, [{}], seeds=[0], jobs=1, store=store)
    assert (first.values("a"), second.values("a"), second.answered) == ([1], [2], 0)


def test_equal_numbers_of_different_types_are_different_settings(tmp_path):
    def kind(*, seed, x):
        return {"kind": type(x).__name__}

    for x, name in [(1, "int"), (1.0, "float"), (True, "bool"), ("1", "str")]:
        result = sweep(kind, {"x": [x]}, seeds=[0], jobs=1, store=tmp_path / "store.db")
        assert (result.values("kind").tolist(), result.answered) == ([name], 0)


def test_the_order_of_settings_does_not_matter(tmp_path):
    def product(*, seed, a, b):
        return {"product": a * b}

    store = tmp_path / "store.db"
    sweep(product, [{"a": 1, "b": 2}], seeds=[0], jobs=1, store=store)
    assert sweep(product, [{"b": 2, "a": 1}], seeds=[0], jobs=1, store=store).answered == 1


def damage_header(path):
    with path.open("r+b") as file:
        file.write(b"not a database")


def damage_pages(path):
    with path.open("r+b") as file:
        file.seek(4096 + 10)
        file.write(b"\xff" * 200)


def damage_value(path):  # the file stays a sound database
    data = path.read_bytes()
    assert data.count(b'{"double": 2}') == 1
    path.write_bytes(data.replace(b'{"double": 2}', b'{"double": 3}'))


def damage_text(path):
    data = path.read_bytes()
    path.write_bytes(data.replace(b'{"double": 2}', b'{"double"\xff 2}'))


def truncate(path):
    path.write_bytes(path.read_bytes()[:5000])


def replace_by_text(path):
    path.write_text("a,b\n1,2\n")


@pytest.mark.parametrize(
    "damage",
    [damage_header, damage_pages, damage_value, damage_text, truncate, replace_by_text],
)
def test_a_corrupt_store_is_moved_aside_and_reported(tmp_path, damage):
    store = tmp_path / "store.db"
    run(tmp_path, [1, 2])
    for number in (1, 2):
        damage(store)
        data = store.read_bytes()
        with pytest.warns(CorruptStoreWarning) as caught:
            result = run(tmp_path, [1, 2])
        moved = tmp_path / f"store.db.corrupt-{number}"
        assert moved.read_bytes() == data
        (text,) = [str(w.message) for w in caught if w.category is CorruptStoreWarning]
        assert str(store) in text
        assert moved.name in text
        assert result.answered == 0
    assert run(tmp_path, [1, 2]).answered == 2


def test_a_name_that_is_taken_is_not_overwritten(tmp_path):
    taken = tmp_path / "store.db.corrupt-1"
    taken.write_text("precious")
    (tmp_path / "store.db").write_text("damaged")
    with pytest.warns(CorruptStoreWarning, match="corrupt-2"):
        run(tmp_path, [1])
    assert taken.read_text() == "precious"


def test_a_store_that_another_process_has_renewed_is_not_moved(tmp_path, monkeypatch):
    path = tmp_path / "store.db"
    path.write_text("damaged")
    open_store = Store._open

    def open_late(store):  # the other process acts between our look and our move
        monkeypatch.setattr(Store, "_open", open_store)
        try:
            store._open()
        finally:
            path.rename(tmp_path / "aside")
            with Store(path, "f") as other:
                other.save("theirs", "1")

    monkeypatch.setattr(Store, "_open", open_late)
    with Store(path, "f") as store:
        assert store.answers == {"theirs": "1"}
    assert sorted(os.listdir(tmp_path)) == ["aside", "store.db"]


def test_an_empty_file_is_an_empty_store(tmp_path):
    (tmp_path / "store.db").touch()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(tmp_path, [1])
    assert run(tmp_path, [1]).answered == 1


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    store = tmp_path / "grades.db"
    with sqlite3.connect(store) as connection:
        connection.execute("CREATE TABLE grades (name TEXT)")
    connection.close()
    data = store.read_bytes()
    with pytest.raises(ValueError, match="`store` is .*grades.db.* another program made"):
        run(tmp_path, [1], store=store)
    assert store.read_bytes() == data
    assert cases.runs(tmp_path) == []


def test_a_folder_is_no_store(tmp_path):
    with pytest.raises(ValueError, match="`store` is .*, a folder"):
        run(tmp_path, [1], store=tmp_path)


def test_a_store_that_cannot_be_opened(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        run(tmp_path, [1], store=tmp_path / "file" / "store.db")


def test_a_write_that_fails_says_where(tmp_path):
    with Store(tmp_path / "store.db", "f") as store:
        store._connection.execute("PRAGMA max_page_count = 4")
        with pytest.raises(OSError, match=r"store.db cannot be written: .*full"):
            store.save("key", "x" * 100_000)


# A child loads the store's module alone, as the package would load torch.
LOAD = f"""
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("store", {store_module.__file__!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
"""

KILLED_IN_A_WRITE = """
store = module.Store(sys.argv[1], "f")
store.save("finished", "1")
connection = store._connection
connection.execute("PRAGMA cache_size = 1")  # pages go to the file long before the commit
def kill(statement):
    if statement.startswith("COMMIT"):
        os.kill(os.getpid(), signal.SIGKILL)

connection.set_trace_callback(kill)
store.save("unfinished", "2" * 1_000_000)
"""


def test_a_kill_in_mid_write_loses_no_finished_cell(tmp_path):
    path = tmp_path / "store.db"
    child = subprocess.run([sys.executable, "-c", LOAD + KILLED_IN_A_WRITE, path], check=False)
    assert child.returncode == -signal.SIGKILL
    assert path.stat().st_size > 1_000_000  # half a write is in the file
    assert Path(f"{path}-journal").stat().st_size > 0  # and the way back beside it
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Store(path, "f") as store:
            assert store.answers == {"finished": "1"}
            store.save("next", "3")
    with Store(path, "f") as store:
        assert store.answers == {"finished": "1", "next": "3"}


WRITER = """
for number in range(40):
    with module.Store(sys.argv[1], "f") as store:
        store.save(f"{sys.argv[2]} {number}", "x" * 2000)
"""


def test_two_processes_write_one_store(tmp_path):
    path = tmp_path / "store.db"
    writers = [
        subprocess.Popen([sys.executable, "-c", LOAD + WRITER, path, name]) for name in ("a", "b")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    with Store(path, "f") as store:
        assert len(store.answers) == 80


def test_a_busy_store_is_not_taken_for_a_corrupt_one(tmp_path, monkeypatch):
    monkeypatch.setattr("l2s.sweep.store._BUSY", 0.1)
    with Store(tmp_path / "store.db", "f") as store:
        store._connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ValueError, match="cannot be opened: database is locked"):
            Store(tmp_path / "store.db", "f")
    assert os.listdir(tmp_path) == ["store.db"]
