"""Private files: what they are created with, and what becomes of those that exist."""

from __future__ import annotations

import os
import stat

import pytest
from clawdbot_servicekit import private_files
from clawdbot_servicekit.process_locks import ProcessLocks


@pytest.fixture(params=[0, 0o022, 0o777], ids=oct)
def any_umask(request):
    previous = os.umask(request.param)
    yield
    os.umask(previous)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_and_the_missing_ones_above_it_are_private(tmp_path, any_umask):
    private_files.create_folder(tmp_path / "a" / "b" / "c")
    assert [mode(tmp_path / each) for each in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_a_folder_that_exists_stays_as_it_is(tmp_path):
    tmp_path.chmod(0o755)
    private_files.create_folder(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_file_in_the_place_of_a_folder_is_an_error(tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(FileExistsError):
        private_files.create_folder(tmp_path / "taken")
    with pytest.raises(NotADirectoryError):
        private_files.create_folder(tmp_path / "taken" / "below")


def test_a_file_is_private_new_or_old(tmp_path, any_umask):
    old = tmp_path / "old"
    old.touch()
    old.chmod(0o644)
    for path in (old, tmp_path / "new"):
        os.close(private_files.open_private(path, os.O_WRONLY))
        assert mode(path) == 0o600


def test_only_files_are_made_private(tmp_path):
    tmp_path.chmod(0o755)
    private_files.create_private(tmp_path)
    private_files.make_private(tmp_path / "missing")
    assert mode(tmp_path) == 0o755


def test_a_link_to_a_missing_file_creates_that_file(tmp_path, any_umask):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    private_files.create_private(link)
    assert mode(tmp_path / "target") == 0o600


def test_process_locks_are_private(tmp_path, any_umask):
    locks = ProcessLocks(tmp_path / "deep" / "locks")
    locks.open()
    assert {path.name: oct(mode(path)) for path in tmp_path.rglob("*")} == {
        "deep": "0o700",
        "locks": "0o700",
        f"{locks.me}.alive": "0o600",
    }
    locks.close()


def test_a_replaced_file_is_private_and_whole(tmp_path, any_umask):
    path = tmp_path / "state.json"
    path.write_text("a longer text than the next one")
    path.chmod(0o644)
    private_files.replace_private(path, b"new")
    assert (path.read_bytes(), mode(path)) == (b"new", 0o600)
    assert [*tmp_path.iterdir()] == [path]


def test_a_file_that_cannot_be_replaced_stays_as_it_is(tmp_path):
    path = tmp_path / "state.json"
    path.write_text("old")
    path.with_suffix(".new").mkdir()
    with pytest.raises(IsADirectoryError):
        private_files.replace_private(path, b"new")
    assert path.read_text() == "old"
