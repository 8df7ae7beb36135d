"""The explanation of a turn, as a person reads it."""

from __future__ import annotations

from clawdbot.common.v1.message_pb2 import Message, Part, ToolCall
from clawdbot.common.v1.tool_pb2 import ToolSpec
from clawdbot.dialogue.v1 import explanation_pb2 as pb
from clawdbot.dialogue.v1.turn_pb2 import Command
from clawdbot_cli.chat.explanation import show_explanation

EXPLANATION = pb.Explanation(truncated=True)
_call = EXPLANATION.steps.add().model_call
_call.purpose, _call.model, _call.message_count = pb.ModelCall.PURPOSE_COMMANDS, "chat", 3
_call.instructions = "Find out\nwhat is meant."
_call.offered_commands.append(ToolSpec(name="set_slot", description="A value."))
_call.offered_commands[0].input_schema.update({"type": "object", "properties": {"slot": {"type": "string"}}})
_call.reply.CopyFrom(Message(parts=[Part(tool_call=ToolCall(name="set_slot"))]))
_call.usage.input_tokens, _call.usage.output_tokens = 100, 7
_call.elapsed.FromMilliseconds(42)
_generated = EXPLANATION.steps.add().commands_generated
_generated.commands.append(Command(name="set_slot", target="n", source="model", accepted=True))
_generated.commands.append(Command(name="handoff", source="model", accepted=False, reason="not on offer"))
EXPLANATION.steps.add().guard_evaluated.CopyFrom(
    pb.GuardEvaluated(flow="f", source="a", target="b", guard="slots.n > 8", passed=False)
)
EXPLANATION.steps.add().transition_taken.CopyFrom(
    pb.TransitionTaken(flow="f", source="a", target="c", cause="next")
)
EXPLANATION.steps.add().note.CopyFrom(pb.Note(code="guard-failed", message="no x", flow="f", state="a"))


def test_each_step_is_a_line(output):
    show_explanation(output.screen, EXPLANATION, whole=False)
    assert output.conversation.splitlines() == [
        "  · called chat for commands: 3 messages, 100 + 7 tokens, 42 ms",
        "  ·   called: set_slot",
        "  · command from model: set_slot n",
        "  · command from model: handoff refused: not on offer",
        "  · guard a → b: if slots.n > 8: does not pass",
        "  · transition a → c (next, f)",
        "  · guard-failed in a: no x",
        "  · … the rest was not kept.",
    ]


def test_in_full_it_shows_what_the_model_was_sent(output):
    show_explanation(output.screen, EXPLANATION, whole=True)
    assert "  ·   instructions: what is meant." in output.conversation
    assert "  ·   command: set_slot: A value." in output.conversation
    assert '"slot": {"type": "string"}' in output.conversation
