"""The outcome of conversations as JUnit XML, in the form that CI systems agree on.

There is no standard; this keeps to https://github.com/testmoapp/junitxml: a suite for each file, a case for
each conversation, `failure` for one that went another way, `error` for a file that could not be held.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET  # written, never read

from clawdbot_dialogue.flow_testing.runner import Outcome

from clawdbot_cli.flow.test_run import Held, Trial

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for, not even escaped."""


def junit(trial: Trial) -> bytes:
    """The document, in UTF-8."""
    root = ET.Element("testsuites", {"name": "clawdbot flow test", **_counts(trial.files, trial.seconds)})
    for held in trial.files:
        seconds = sum(outcome.seconds for outcome in held.outcomes)
        suite = ET.SubElement(root, "testsuite", {"name": _clean(held.file), **_counts([held], seconds)})
        for outcome in held.outcomes:
            _case(suite, held, outcome)
        if held.fault:
            case = ET.SubElement(suite, "testcase", {"name": "can be held", "classname": _clean(held.file)})
            error = ET.SubElement(case, "error", {"message": _clean(held.fault.splitlines()[0])})
            error.text = _clean(held.fault)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(files: Sequence[Held], seconds: float) -> dict[str, str]:
    outcomes = [outcome for held in files for outcome in held.outcomes]
    errors = sum(bool(held.fault) for held in files)
    return {
        "tests": str(len(outcomes) + errors),
        "failures": str(sum(bool(outcome.failures) for outcome in outcomes)),
        "errors": str(errors),
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }


def _case(suite: ET.Element, held: Held, outcome: Outcome) -> None:
    where = {"classname": _clean(held.file), "file": _clean(held.file), "line": str(outcome.line)}
    told = {"name": _clean(outcome.name), **where, "time": f"{outcome.seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", told)
    if outcome.failures:
        first = _clean(outcome.failures[0].message)
        failure = ET.SubElement(case, "failure", {"type": "different", "message": first})
        lines = (f"{outcome.file}:{each.line}: {each.message}" for each in outcome.failures)
        failure.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
