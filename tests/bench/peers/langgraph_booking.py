"""A table booked with LangGraph, turn by turn, on its in-memory checkpointer: the peer of turn_memory.

Run by the bench in an environment of its own. Reads a number of conversations from each line of its input,
and answers with the turns a second that it made. The graph is what LangGraph's documentation shows: a typed
state, a node that understands, conditional edges, a node for each thing that is done; one `invoke` a message.
"""

import re
import sys
import time
from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph

SAID = ("4", "tomorrow", "7pm", "yes")


class Booking(TypedDict, total=False):
    text: str
    party_size: int
    date: str
    time: str
    confirmed: bool
    asked: str
    reply: str
    reference: str


def understand(state: Booking) -> Booking:
    text, asked = state.get("text", ""), state.get("asked", "")
    if asked == "party_size" and (found := re.search(r"\d+", text)):
        return {"party_size": int(found[0])}
    if asked == "date" and "tomorrow" in text:
        return {"date": "2026-11-25"}
    if asked == "time" and (found := re.search(r"(\d+)\s*pm", text)):
        return {"time": f"{int(found[1]) + 12}:00"}
    if asked == "confirmed":
        return {"confirmed": text == "yes"}
    return {}


def onward(state: Booking) -> str:
    for slot in ("party_size", "date", "time", "confirmed"):
        if slot not in state:
            return f"ask_{slot}"
    return "book"


def asks(slot: str, words: str):
    def ask(state: Booking) -> Booking:
        return {"asked": slot, "reply": words.format(**state)}

    return ask


def book(state: Booking) -> Booking:
    return {"reference": "T-1", "reply": "Booked. Reference T-1."}


def graph():
    built = StateGraph(Booking)
    built.add_node("understand", understand)
    built.add_node("ask_party_size", asks("party_size", "For how many people?"))
    built.add_node("ask_date", asks("date", "For which day?"))
    built.add_node("ask_time", asks("time", "At what time?"))
    built.add_node("ask_confirmed", asks("confirmed", "A table for {party_size} on {date} at {time}?"))
    built.add_node("book", book)
    built.add_edge(START, "understand")
    built.add_conditional_edges("understand", onward)
    for node in ("ask_party_size", "ask_date", "ask_time", "ask_confirmed", "book"):
        built.add_edge(node, END)
    return built.compile(checkpointer=InMemorySaver())


def main() -> None:
    compiled, number = graph(), 0
    print("ready", flush=True)
    for line in sys.stdin:
        count, begun = int(line), time.perf_counter()
        for _ in range(count):
            number += 1
            config = {"configurable": {"thread_id": str(number)}}
            compiled.invoke({"text": ""}, config)
            for text in SAID:
                state = compiled.invoke({"text": text}, config)
            assert state["reference"] == "T-1"
        print(count * (len(SAID) + 1) / (time.perf_counter() - begun), flush=True)


main()
