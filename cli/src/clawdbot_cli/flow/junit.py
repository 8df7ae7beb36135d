"""Writes the results of conversation tests as JUnit XML, as CI systems read it.

There is no standard; this follows https://github.com/testmoapp/junitxml: a suite for each file, a case for
each conversation, `failure` for a conversation that failed, `error` for a file that cannot be used.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET  # written, never read

from clawdbot_dialogue.flow_toolkit import ConversationResult

from clawdbot_cli.flow.test_run import FileResult, TestRun

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain, not even escaped."""


def junit_xml(run: TestRun) -> bytes:
    """The document, in UTF-8."""
    root = ET.Element("testsuites", {"name": "clawdbot flow test", **_counts(run.files, run.seconds)})
    for result in run.files:
        seconds = sum(outcome.seconds for outcome in result.outcomes)
        suite = ET.SubElement(root, "testsuite", {"name": _clean(result.file), **_counts([result], seconds)})
        for outcome in result.outcomes:
            _case(suite, result, outcome)
        if result.error:
            attributes = {"name": "can be used", "classname": _clean(result.file)}
            case = ET.SubElement(suite, "testcase", attributes)
            error = ET.SubElement(case, "error", {"message": _clean(result.error.splitlines()[0])})
            error.text = _clean(result.error)
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _counts(files: Sequence[FileResult], seconds: float) -> dict[str, str]:
    outcomes = [outcome for result in files for outcome in result.outcomes]
    errors = sum(bool(result.error) for result in files)
    return {
        "tests": str(len(outcomes) + errors),
        "failures": str(sum(bool(outcome.failures) for outcome in outcomes)),
        "errors": str(errors),
        "skipped": "0",
        "time": f"{seconds:.3f}",
    }


def _case(suite: ET.Element, result: FileResult, outcome: ConversationResult) -> None:
    file = _clean(result.file)
    attributes = {"name": _clean(outcome.name), "classname": file, "file": file, "line": str(outcome.line)}
    case = ET.SubElement(suite, "testcase", {**attributes, "time": f"{outcome.seconds:.3f}"})
    if outcome.failures:
        first = _clean(outcome.failures[0].message)
        failure = ET.SubElement(case, "failure", {"type": "different", "message": first})
        lines = (f"{outcome.file}:{each.line}: {each.message}" for each in outcome.failures)
        failure.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
