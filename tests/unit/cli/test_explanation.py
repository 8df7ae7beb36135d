"""Why a turn went the way it went, as a person reads it."""

from __future__ import annotations

from clawdbot.common.v1.message_pb2 import Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.dialogue.v1 import explanation_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import Command
from clawdbot_cli.chat.explanation import show_explanation

EXPLANATION = pb.Explanation(truncated=True)
_asked = EXPLANATION.steps.add().asked
_asked.purpose, _asked.model, _asked.messages = pb.ModelAsked.PURPOSE_UNDERSTAND, "chat", 3
_asked.instructions = "Find out\nwhat is meant."
_asked.offers.append(ToolSpec(name="set_slot", description="A value."))
_asked.offers[0].input_schema.update({"type": "object", "properties": {"slot": {"type": "string"}}})
_asked.answer.CopyFrom(Message(parts=[Part(tool_call=ToolCall(name="set_slot"))]))
_asked.usage.input_tokens, _asked.usage.output_tokens = 100, 7
_asked.elapsed.FromMilliseconds(42)
_understood = EXPLANATION.steps.add().understood
_understood.commands.append(Command(name="set_slot", target="n", source="model", accepted=True))
_understood.commands.append(Command(name="handoff", source="model", accepted=False, reason="not on offer"))
EXPLANATION.steps.add().tried.CopyFrom(
    pb.TransitionTried(flow="f", state="a", to="b", guard="slots.n > 8", held=False)
)
EXPLANATION.steps.add().moved.CopyFrom(pb.StateMoved(flow="f", source="a", to="c", cause="next"))
EXPLANATION.steps.add().remark.CopyFrom(pb.Remark(code="guard-failed", message="no x", flow="f", state="a"))


def test_each_thing_is_a_line(paper):
    show_explanation(paper.screen, EXPLANATION, whole=False)
    assert paper.conversation.splitlines() == [
        "  · asked chat what was meant: 3 messages, 100 + 7 tokens, 42 ms",
        "  ·   called: set_slot",
        "  · understood by model: set_slot n",
        "  · understood by model: handoff refused: not on offer",
        "  · a → b: if slots.n > 8: does not hold",
        "  · went a → c (next, f)",
        "  · guard-failed in a: no x",
        "  · … there was more than is kept.",
    ]


def test_in_full_it_says_what_the_model_was_told(paper):
    show_explanation(paper.screen, EXPLANATION, whole=True)
    assert "  ·   told: what is meant." in paper.conversation
    assert "  ·   might propose: set_slot: A value." in paper.conversation
    assert '"slot": {"type": "string"}' in paper.conversation
