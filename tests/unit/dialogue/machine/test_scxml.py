"""The W3C's SCXML tests that make sense for conversations, rewritten as flows with scripted events.

The original tests are at https://www.w3.org/Voice/2013/scxml-irp/; docs/scxml.md lists which are included.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from clawdbot_dialogue.core.flow.loader import validate_flow
from clawdbot_dialogue.core.machine.effects import CallTool
from clawdbot_dialogue.core.machine.events import TimerFired, ToolReturned

from tests.support.flows import NOW, Talk, compiled

MANDATORY = {
    144, 147, 148, 149, 150, 151, 152, 153, 155, 156, 158, 159, 172, 173, 174, 175, 176, 178, 179, 183,
    185, 186, 187, 189, 190, 191, 192, 194, 198, 199, 200, 205, 207, 208, 210, 215, 216, 220, 223, 224,
    225, 226, 228, 229, 230, 232, 233, 234, 235, 236, 237, 239, 240, 241, 242, 243, 244, 245, 247, 250,
    252, 253, 276, 277, 279, 280, 286, 287, 288, 294, 298, 301, 302, 303, 304, 307, 309, 310, 311, 312,
    313, 314, 318, 319, 321, 322, 323, 324, 325, 326, 329, 330, 331, 332, 333, 335, 336, 337, 338, 339,
    342, 343, 344, 346, 347, 348, 349, 350, 351, 352, 354, 355, 364, 372, 375, 376, 377, 378, 387, 388,
    396, 399, 401, 402, 403, 404, 405, 406, 407, 409, 411, 412, 413, 415, 416, 417, 419, 421, 422, 423,
    436, 487, 488, 495, 496, 500, 501, 503, 504, 505, 506, 521, 525, 527, 528, 529, 530, 533, 550, 551,
    552, 553, 554, 570, 576, 579, 580,
}  # fmt: skip
"""The mandatory tests in the suite's manifest, manual ones included."""
CASES = {
    f"{case['test']}{case.get('part', '')}": {**case, "file": file.name}
    for file in sorted((Path(__file__).parent / "scxml").glob("*.yaml"))
    for case in yaml.safe_load(file.read_text(encoding="utf-8"))
}
PAGE = (Path(__file__).resolve().parents[4] / "docs" / "scxml.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \|$", PAGE, re.MULTILINE)


def send(talk: Talk, turn: dict[str, Any]) -> None:
    """Sends the event of a script's turn."""
    if "event" in turn:
        talk.event(turn["event"])
    elif "say" in turn:
        talk.say(turn["say"])
    elif "returns" in turn:
        talk.give(ToolReturned(turn.get("id", talk.snapshot.waiting_for), turn["returns"], False))
    elif "ring" in turn:
        talk.give(TimerFired(talk.timer if turn["ring"] is True else turn["ring"], NOW))


def observed(talk: Talk) -> dict[str, Any]:
    """Everything that a script can expect."""
    return {
        "said": talk.replies,
        "path": talk.path,
        "states": list(talk.snapshot.states),
        "slots": dict(talk.slots),
        "status": talk.snapshot.status,
        "notes": [note.code for note in talk.notes if note.code != "value-missing"],
        "tools": [each.tool for each in talk.effects if isinstance(each, CallTool)],
        "waits": talk.snapshot.waiting_for,
    }


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in CASES.items()])
def test_a_rewritten_test_of_the_suite_passes(case):
    if "errors" in case:
        found = validate_flow(f"flow: f\nversion: 1\n{case['flow']}", "f.yaml").diagnostics
        assert [each.code for each in found if each.severity == "error"] == case["errors"]
        return
    flow = compiled(case["flow"])
    others = [compiled(case["other"], "other")] if "other" in case else []
    talk = Talk.about(flow, *others, slots=case.get("given"))
    for number, turn in enumerate(case["script"]):
        if number:
            send(talk, turn)
        actual = observed(talk)
        expected = {key: value for key, value in turn.items() if key in actual}
        assert expected == {key: actual[key] for key in expected}, f"after {turn}"
        assert "notes" in turn or not actual["notes"]
        assert not talk.failures


def test_every_mandatory_test_is_in_the_table_once():
    assert sorted(int(number) for number, _, _ in ROWS) == sorted(MANDATORY)


def test_the_table_names_the_file_of_each_rewritten_test_and_no_other():
    files = {int(number): where.split("`")[1] for number, _, where in ROWS if where.startswith("`")}
    assert files == {case["test"]: case["file"] for case in CASES.values()}


def test_the_reason_for_each_omitted_test_is_explained():
    reasons = {where for _, _, where in ROWS if not where.startswith("`")}
    explained = set(re.findall(r"^\* \*(.+?)\*: ", PAGE, re.MULTILINE))
    assert reasons == explained
