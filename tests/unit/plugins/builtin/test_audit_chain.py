"""A hash chain of lines: every change is found, and where it is."""

from __future__ import annotations

import json

import pytest
from clawdbot_plugins.builtin.audit_log import BrokenLink, Verified, verify
from clawdbot_plugins.builtin.audit_log.chain import EMPTY_HEAD, GENESIS, Head, decode_line, encode_line
from clawdbot_plugins.builtin.audit_log.files import AuditFiles
from hypothesis import given
from hypothesis import strategies as st

DAY = 86_400.0
MIDNIGHT = 1_800_000_000.0 - 1_800_000_000.0 % DAY


def fill(folder, *timestamps):
    """Writes a log with a line for each timestamp. Returns the head after each."""
    folder.mkdir(exist_ok=True)
    files = AuditFiles(folder)
    heads = [files.append(each, {"event": "turn_done", "session": f"s-{each:.0f}"}) for each in timestamps]
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


def broken_link(folder, known=None):
    found = verify(folder, known)
    assert isinstance(found, BrokenLink), found
    return found.file.name, found.line, found.explanation


def change(path, line, edit):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[line - 1] = edit(lines[line - 1])
    path.write_bytes(b"".join(lines))


def test_an_unchanged_chain_is_verified(folder):
    found = verify(folder)
    assert isinstance(found, Verified)
    assert (found.lines, found.first, found.head.number) == (6, 1, 6)


def test_an_empty_log_is_verified(tmp_path):
    assert verify(tmp_path) == Verified(0, 0, EMPTY_HEAD)


def test_each_day_has_its_file_and_the_chain_spans_them(folder):
    assert [len(path.read_bytes().splitlines()) for path in files_of(folder)] == [2, 3, 1]
    lines = [json.loads(line) for path in files_of(folder) for line in path.read_bytes().splitlines()]
    assert [each["n"] for each in lines] == [1, 2, 3, 4, 5, 6]
    assert [each["previous"] for each in lines] == [GENESIS, *(each["hash"] for each in lines[:-1])]


def test_a_changed_line_is_found(folder):
    _, second, _ = files_of(folder)
    change(second, 2, lambda line: line.replace(b"s-", b"x-"))
    assert broken_link(folder) == (second.name, 2, "The line was changed after it was written.")


def test_a_line_with_a_recomputed_hash_is_found_at_the_next_one(folder):
    """Recomputing the hash of one line makes the line valid, but not the chain."""
    first, *_ = files_of(folder)
    change(first, 1, lambda line: encode_line(EMPTY_HEAD, {"event": "turn_done", "session": "other"})[0])
    assert broken_link(folder)[:2] == (first.name, 2)


def test_a_removed_line_is_found(folder):
    _, second, _ = files_of(folder)
    change(second, 2, lambda line: b"")
    name, line, explanation = broken_link(folder)
    assert (name, line) == (second.name, 2)
    assert "was removed" in explanation


def test_an_inserted_line_is_found(folder):
    _, second, _ = files_of(folder)
    change(second, 2, lambda line: line + line)
    assert broken_link(folder)[:2] == (second.name, 3)


def test_two_swapped_lines_are_found(folder):
    _, second, _ = files_of(folder)
    one, two, three = second.read_bytes().splitlines(keepends=True)
    second.write_bytes(one + three + two)
    assert broken_link(folder)[:2] == (second.name, 2)


def test_a_removed_file_is_found_unless_it_is_the_oldest(folder):
    first, second, third = files_of(folder)
    kept = second.read_bytes()
    second.unlink()
    assert broken_link(folder)[:2] == (third.name, 1)
    second.write_bytes(kept)
    first.unlink()
    found = verify(folder)
    assert (found.lines, found.first) == (4, 3)


def test_a_truncated_end_is_found_with_a_stored_head(tmp_path):
    heads = fill(tmp_path / "log", *(MIDNIGHT + number for number in range(4)))
    (path,) = files_of(tmp_path / "log")
    for head in (*heads, EMPTY_HEAD):
        assert isinstance(verify(tmp_path / "log", head), Verified)
    change(path, 4, lambda line: b"")
    assert isinstance(verify(tmp_path / "log"), Verified)
    assert broken_link(tmp_path / "log", heads[-1])[1:] == (3, "The known line 4 is missing.")


def test_a_rewritten_chain_is_found_with_a_stored_head(tmp_path):
    (head,) = fill(tmp_path / "log", MIDNIGHT)
    for path in files_of(tmp_path / "log"):
        path.unlink()
    fill(tmp_path / "log", MIDNIGHT + 5)
    assert "is missing" in broken_link(tmp_path / "log", head)[2]


def test_a_first_line_that_refers_to_an_earlier_one_is_found(tmp_path):
    folder = tmp_path / "log"
    fill(folder, MIDNIGHT)
    (path,) = files_of(folder)
    path.write_bytes(encode_line(Head(0, "1" * 64), {"event": "x"})[0])
    assert broken_link(folder)[1:] == (1, "The first line refers to a line before it.")


@pytest.mark.parametrize("garbage", [b"\n", b"{}\n", b"nonsense\n", b"\xff\xfe\n", b"x" * 200_000 + b"\n"])
def test_a_malformed_line_is_found(folder, garbage):
    first, *_ = files_of(folder)
    change(first, 2, lambda line: line + garbage)
    assert broken_link(folder) == (first.name, 3, "The line is not a line of an audit log.")


FACTS = st.dictionaries(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(
        lambda name: name not in ("n", "previous", "hash")
    ),
    st.text(st.characters(codec="utf-8"), max_size=12) | st.integers() | st.booleans() | st.none(),
    max_size=4,
)


@given(FACTS, st.integers(0, 10**6))
def test_an_encoded_line_decodes_with_a_matching_hash_and_is_json(facts, number):
    head = Head(number, "a" * 64)
    line, after = encode_line(head, facts)
    link = decode_line(line)
    assert (link.hash_matches, link.previous, link.head) == (True, head.hash, after)
    assert {**json.loads(line), "n": 0, "previous": 0, "hash": 0} == {
        **facts,
        "n": 0,
        "previous": 0,
        "hash": 0,
    }
    assert line.count(b"\n") == 1


@given(st.lists(FACTS, min_size=1, max_size=4), st.data())
def test_any_change_of_a_single_byte_is_found_at_its_line_or_the_next(tmp_path_factory, facts, data):
    """Not later, and the lines before the change are still verified."""
    folder = tmp_path_factory.mktemp("log")
    files = AuditFiles(folder)
    for each in facts:
        files.append(MIDNIGHT, each)
    files.close()
    (path,) = files_of(folder)
    raw = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(raw) - 1))
    raw[position] = data.draw(st.integers(0, 255).filter(lambda byte: byte != raw[position]))
    line = bytes(raw[:position]).count(b"\n") + 1
    path.write_bytes(raw)
    found = verify(folder)
    assert isinstance(found, BrokenLink)
    assert found.line in (line, line + 1)


def test_every_single_byte_of_a_log_is_protected(tmp_path):
    """Each byte is changed to three other values."""
    folder = tmp_path / "log"
    fill(folder, MIDNIGHT, MIDNIGHT + 1)
    (path,) = files_of(folder)
    raw = path.read_bytes()
    for position, byte in enumerate(raw):
        for other in {byte ^ 1, byte ^ 0x20, ord("\n")} - {byte}:
            path.write_bytes(raw[:position] + bytes([other]) + raw[position + 1 :])
            assert isinstance(verify(folder), BrokenLink), (position, other)
