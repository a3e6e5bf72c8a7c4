"""The tools that look at a machine say in plain words what is wrong, and what to do."""

import subprocess
import sys
import threading
import urllib.error
import urllib.request

import pytest

from book.tools import chromium, doctor, interpreters, layout, serve, try_colab

sys.path.insert(0, str(layout.ROOT / "book" / "tools"))
import install


def test_an_old_python_is_told_in_one_sentence():
    said = install.too_old((3, 8, 1), "/opt/python3.12")
    assert "needs Python 3.11 or newer" in said
    assert "is 3.8. Use the newer one that is here: make book PYTHON=/opt/python3.12" in said
    assert "Install a newer Python" in install.too_old((3, 8, 1), None)


def test_interpreters_are_run_and_not_believed(tmp_path, monkeypatch):
    minor = sys.version_info.minor
    dead = tmp_path / f"python3.{minor}"
    dead.write_text("#!/bin/sh\necho command not found\nexit 127\n")
    dead.chmod(0o755)
    monkeypatch.setattr(interpreters, "_candidates", lambda _: [str(dead), "no-such-file"])
    assert interpreters.find([minor]) is None
    monkeypatch.setattr(interpreters, "_candidates", lambda _: [str(dead), sys.executable])
    assert interpreters.find([minor]) == sys.executable
    assert interpreters.find([minor + 1]) is None


def test_the_doctor_finds_nothing_missing_where_the_tests_run():
    done = subprocess.run(
        [sys.executable, "book/tools/doctor.py"],
        cwd=layout.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "Nothing essential is missing." in done.stdout


@pytest.mark.parametrize(
    ("finding", "level", "words"),
    [
        (doctor.python((3, 12, 1)), "ok", "3.12.1"),
        (doctor.python((3, 9, 1)), "missing", "too old"),
        (doctor.room(10 * 2**30, installed=False), "ok", "10 GiB"),
        (doctor.room(2 * 2**30, installed=False), "missing", "too little"),
        (doctor.room(2 * 2**30, installed=True), "ok", "2 GiB"),
        (doctor.power(8 * 2**30, 4), "ok", "4 cores, 8.0 GiB"),
        (doctor.power(2 * 2**30, 4), "note", "2.0 GiB"),
        (doctor.power(None, 1), "note", "1 cores"),
        (doctor.packages({"torch": "2.0+cpu"}, {"torch": "2.0"}), "ok", "1 of 1"),
        (doctor.packages({"torch": "2.1"}, {"torch": "2.0"}), "note", "torch 2.1"),
        (doctor.packages({}, {"torch": "2.0"}), "missing", "torch"),
        (doctor.packages({}, {"rare": "2.0"}), "ok", "0 of 1"),
        (doctor.library("/elsewhere/l2s", "/here"), "missing", "/elsewhere/l2s"),
        (doctor.kernel("/nowhere"), "missing", "kernel python3"),
        (doctor.accelerator("no module", gpu=False), "missing", "no module"),
        (doctor.accelerator([None, False], gpu=True), "note", "cannot use"),
        (doctor.accelerator(["12.8", False], gpu=False), "note", "built for CUDA 12.8"),
        (doctor.accelerator(["12.8", True], gpu=True), "ok", "GPU in use"),
        (doctor.accelerator([None, False], gpu=False), "ok", "CPU"),
    ],
)
def test_each_finding_says_what_and_how_to_mend_it(finding, level, words):
    assert finding.level == level
    assert words in finding.text
    assert bool(finding.remedy) is (level != "ok")


def test_missing_programs_are_notes():
    found = list(doctor.tools(lambda name: None))
    assert [finding.level for finding in found] == ["note", "note"]
    assert "apt install chromium" in found[1].remedy


def test_a_checkout_without_environment_is_told_to_make_one(tmp_path):
    findings = doctor.examine(str(tmp_path))
    assert findings[-1].level == "missing"
    assert "make book" in findings[-1].remedy
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".installed").touch()
    assert "does not run" in doctor.examine(str(tmp_path))[-1].text


def test_the_site_is_served_on_loopback_only(tmp_path):
    (tmp_path / "index.html").write_text("hello")
    server = serve.serving(tmp_path, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert server.server_address[0] == "127.0.0.1"
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/") as page:
            assert page.read() == b"hello"
    finally:
        server.shutdown()
        server.server_close()


def test_a_site_is_served_below_a_path_and_answers_for_missing_files_as_its_host_would(tmp_path):
    (tmp_path / "index.html").write_text("hello")
    (tmp_path / "404.html").write_text("not here")
    with serve.served(tmp_path, "/some/path/") as address:
        assert address.endswith("/some/path/")
        with urllib.request.urlopen(address) as page:
            assert page.read() == b"hello"
        for missing in (f"{address}none.html", address.replace("/some/path", "")):
            with pytest.raises(urllib.error.HTTPError) as answer:
                urllib.request.urlopen(missing)
            assert answer.value.code == 404
            assert answer.value.read() == b"not here"


@pytest.mark.parametrize(
    ("apt", "user", "said"),
    [
        (None, 0, "there is no apt here"),
        ("/usr/bin/apt-get", 1000, "only root may install it"),
        ("/usr/bin/apt-get", 0, "apt did not bring it"),
    ],
)
def test_without_chromium_one_is_installed_or_the_remedy_is_said(apt, user, said, monkeypatch):
    asked = []
    monkeypatch.setattr(chromium.shutil, "which", {"apt-get": apt}.get)
    monkeypatch.setattr(chromium.os, "geteuid", lambda: user)
    monkeypatch.setattr(chromium.subprocess, "run", lambda command, **_: asked.append(command))
    with pytest.raises(SystemExit, match=f"{said}.*apt install chromium"):
        chromium.main()
    assert (chromium.INSTALL in asked) == (said == "apt did not bring it")


def test_serving_needs_a_site_and_a_free_port(tmp_path, monkeypatch):
    monkeypatch.setattr(serve.layout, "ROOT", tmp_path)
    monkeypatch.setattr("sys.argv", ["serve"])
    with pytest.raises(SystemExit, match="make book"):
        serve.main()
    (tmp_path / "_build/html").mkdir(parents=True)
    (tmp_path / "_build/html/index.html").touch()
    with serve.serving(tmp_path, port=0) as taken:
        monkeypatch.setattr("sys.argv", ["serve", "--port", str(taken.server_port)])
        with pytest.raises(SystemExit, match="cannot be used"):
            serve.main()


def test_a_moved_version_is_named():
    before = {"torch": "2.11.0", "numpy": "2.1.3", "scipy": "1.16.3"}
    after = {"torch": "2.13.0", "numpy": "2.1.3", "l2s": "0.1"}
    assert [line.split(":")[0] for line in try_colab.moved(before, after)] == [
        "torch was 2.11.0 and is now 2.13.0",
        "scipy was 1.16.3 and is now gone",
    ]


def test_without_an_interpreter_colab_is_skipped_and_not_passed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(try_colab, "_BASE", tmp_path / "base.json")
    monkeypatch.setattr(try_colab.interpreters, "find", lambda minors: None)
    with pytest.raises(SystemExit) as ended:
        try_colab.main()
    assert ended.value.code == try_colab.SKIPPED != 0
    assert capsys.readouterr().out.startswith("skipped: no Python 3.13")
