"""What SwitchRecord promises. Every record's test class inherits these."""

from __future__ import annotations

from clawdbot_model_gateway.core.alias_overrides import Aim, Change, Switch

A, B, C = (Aim(f"{name}/m") for name in "abc")


def change(*targets: Aim, alias: str = "chat", configured=(A,), request_id: str = "") -> Change:
    return Change(alias, Switch(targets, tuple(configured)), request_id)


class SwitchRecordContract:
    """The fixture `record` is new; `other` is the same one as another worker sees it."""

    def test_a_new_record_is_empty(self, record):
        assert record.read() == {}

    def test_a_change_is_read_back_whole(self, record):
        targets = (Aim("a/x/y", 9), Aim("b/ü", fallback=True))
        record.change(change(*targets))
        assert record.read() == {"chat": Switch(targets, (A,))}

    def test_the_version_is_another_after_each_change(self, record, other):
        seen = {record.version}
        for each in (record, other, record):
            each.change(change(B))
            assert record.version == other.version
            seen.add(record.version)
        assert len(seen) == 4

    def test_what_one_worker_changes_all_see(self, record, other):
        record.change(change(B))
        assert other.read()["chat"].targets == (B,)
        assert other.change(change(C)) == (B,)
        assert record.read()["chat"].targets == (C,)

    def test_the_first_change_answers_what_was_configured(self, record):
        assert record.change(change(B)) == (A,)
        assert record.change(change(B, alias="new", configured=())) == ()

    def test_a_switch_under_an_older_configuration_is_not_what_was_before(self, record):
        record.change(change(B))
        assert record.change(change(C, configured=(C,))) == (C,)

    def test_a_repeated_change_answers_the_same_and_changes_nothing(self, record, other):
        assert record.change(change(B, request_id="r-1")) == (A,)
        record.change(change(C, request_id="r-2"))
        version = record.version
        assert other.change(change(B, request_id="r-1")) == (A,)
        assert other.version == version
        assert record.read()["chat"].targets == (C,)

    def test_changes_without_an_id_are_each_a_change(self, record):
        record.change(change(B))
        assert record.change(change(C)) == (B,)
