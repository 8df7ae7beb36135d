"""A chain of lines: whatever is changed in it is found, and where."""

from __future__ import annotations

import json

import pytest
from clawdbot_plugins.builtin.audit_log import BrokenLink, Verified, verify
from clawdbot_plugins.builtin.audit_log.chain import GENESIS, START, Head, read, write
from clawdbot_plugins.builtin.audit_log.files import AuditFiles
from hypothesis import given
from hypothesis import strategies as st

DAY = 86_400.0
MIDNIGHT = 1_800_000_000.0 - 1_800_000_000.0 % DAY


def fill(folder, *moments):
    """A log with a line for each moment. Returns the head after each."""
    folder.mkdir(exist_ok=True)
    files = AuditFiles(folder)
    heads = [files.append(moment, {"event": "turn_done", "session": f"s-{moment:.0f}"}) for moment in moments]
    files.close()
    return heads


@pytest.fixture
def folder(tmp_path):
    """A log of three days: 2, 3 and 1 lines."""
    days = [0, 0, 1, 1, 1, 2]
    fill(tmp_path / "log", *(MIDNIGHT + day * DAY + number for number, day in enumerate(days)))
    return tmp_path / "log"


def files_of(folder):
    return sorted(folder.glob("audit-*.jsonl"))


def broken(folder, known=None):
    found = verify(folder, known)
    assert isinstance(found, BrokenLink), found
    return found.file.name, found.line, found.explanation


def change(path, line, edit):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = edit(lines[line - 1])
    path.write_bytes(b"".join(lines))


def test_a_chain_that_nobody_touched_holds(folder):
    found = verify(folder)
    assert isinstance(found, Verified)
    assert (found.lines, found.first, found.head.number) == (6, 1, 6)


def test_an_empty_log_holds(tmp_path):
    assert verify(tmp_path) == Verified(0, 0, START)


def test_each_day_has_its_file_and_the_chain_goes_through_them(folder):
    assert [len(path.read_bytes().splitlines()) for path in files_of(folder)] == [2, 3, 1]
    lines = [json.loads(line) for path in files_of(folder) for line in path.read_bytes().splitlines()]
    assert [each["n"] for each in lines] == [1, 2, 3, 4, 5, 6]
    assert [each["previous"] for each in lines] == [GENESIS, *(each["hash"] for each in lines[:-1])]


def test_a_changed_line_is_the_first_broken_one(folder):
    _, second, _ = files_of(folder)
    change(second, 2, lambda line: line.replace(b"s-", b"x-"))
    assert broken(folder) == (second.name, 2, "The line was changed after it was written.")


def test_a_line_with_a_hash_that_was_worked_out_anew_is_found_at_the_next(folder):
    """Who knows the form can make one line whole again, and not the chain."""
    first, *_ = files_of(folder)
    change(first, 1, lambda line: write(START, {"event": "turn_done", "session": "other"})[0])
    assert broken(folder)[:2] == (first.name, 2)


def test_a_removed_line_is_found(folder):
    _, second, _ = files_of(folder)
    change(second, 2, lambda line: b"")
    name, line, explanation = broken(folder)
    assert (name, line) == (second.name, 2)
    assert "something was removed" in explanation


def test_a_line_that_was_put_in_is_found(folder):
    _, second, _ = files_of(folder)
    change(second, 2, lambda line: line + line)
    assert broken(folder)[:2] == (second.name, 3)


def test_two_lines_that_changed_places_are_found(folder):
    _, second, _ = files_of(folder)
    one, two, three = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(one + three + two)
    assert broken(folder)[:2] == (second.name, 2)


def test_a_removed_file_is_found_unless_it_is_the_oldest(folder):
    first, second, third = files_of(folder)
    kept = second.read_bytes()
    second.unlink()
    assert broken(folder)[:2] == (third.name, 1)
    second.write_bytes(kept)
    first.unlink()
    found = verify(folder)
    assert (found.lines, found.first) == (4, 3)


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_written_down(tmp_path):
    heads = fill(tmp_path / "log", *(MIDNIGHT + number for number in range(4)))
    (path,) = files_of(tmp_path / "log")
    for head in (*heads, START):
        assert isinstance(verify(tmp_path / "log", head), Verified)
    change(path, 4, lambda line: b"")
    assert isinstance(verify(tmp_path / "log"), Verified)
    assert broken(tmp_path / "log", heads[-1])[1:] == (3, "The line 4 that was known is no longer there.")


def test_a_chain_that_was_made_anew_is_found_by_a_head_that_was_written_down(tmp_path):
    (head,) = fill(tmp_path / "log", MIDNIGHT)
    for path in files_of(tmp_path / "log"):
        path.unlink()
    fill(tmp_path / "log", MIDNIGHT + 5)
    assert "no longer there" in broken(tmp_path / "log", head)[2]


def test_a_beginning_that_hides_what_was_before_it_is_found(tmp_path):
    folder = tmp_path / "log"
    fill(folder, MIDNIGHT)
    (path,) = files_of(folder)
    path.write_bytes(write(Head(0, "1" * 64), {"event": "x"})[0])
    assert broken(folder)[1:] == (1, "The first line claims that there was one before it.")


@pytest.mark.parametrize("garbage", [b"\n", b"{}\n", b"nonsense\n", b"\xff\xfe\n", b"x" * 200_000 + b"\n"])
def test_a_line_that_is_none_is_found(folder, garbage):
    first, *_ = files_of(folder)
    change(first, 2, lambda line: line + garbage)
    assert broken(folder) == (first.name, 3, "The line is not a line of an audit log.")


FACTS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
        lambda name: name not in ("n", "previous", "hash")
    ),
    st.text(st.characters(codec="utf-8"), max_size=12) | st.integers() | st.booleans() | st.none(),
    max_size=4,
)


@given(FACTS, st.integers(0, 10**6))
def test_a_written_line_reads_back_sound_and_is_json(facts, number):
    head = Head(number, "a" * 64)
    line, after = write(head, facts)
    link = read(line)
    assert (link.sound, link.previous, link.head) == (True, head.hash, after)
    assert {**json.loads(line), "n": 0, "previous": 0, "hash": 0} == {
        **facts,
        "n": 0,
        "previous": 0,
        "hash": 0,
    }
    assert line.count(b"\n") == 1


@given(st.lists(FACTS, min_size=1, max_size=4), st.data())
def test_any_change_of_a_single_byte_of_any_line_is_found_there_or_at_the_next(tmp_path_factory, facts, data):
    """Not later: the lines before the change are still proved."""
    folder = tmp_path_factory.mktemp("log")
    files = AuditFiles(folder)
    for each in facts:
        files.append(MIDNIGHT, each)
    files.close()
    (path,) = files_of(folder)
    raw = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[place]))
    line = bytes(raw[:place]).count(b"\n") + 1
    path.write_bytes(raw)
    found = verify(folder)
    assert isinstance(found, BrokenLink)
    assert found.line in (line, line + 1)


def test_every_single_byte_of_a_log_is_guarded(tmp_path):
    """All of them, each changed to three other values."""
    folder = tmp_path / "log"
    fill(folder, MIDNIGHT, MIDNIGHT + 1)
    (path,) = files_of(folder)
    raw = path.read_bytes()
    for place, byte in enumerate(raw):
        for other in {byte ^ 1, byte ^ 0x20, ord("\n")} - {byte}:
            path.write_bytes(raw[:place] + bytes([other]) + raw[place + 1 :])
            assert isinstance(verify(folder), BrokenLink), (place, other)
