"""A table booked with LangGraph, turn by turn, on its in-memory checkpointer: the peer of turn_memory.

Run by the bench in an environment of its own. Reads a number of conversations from each line of its input,
and answers with the turns a second that it made. The graph is what LangGraph's documentation shows for a
person in the loop: a typed state, a node for each question, which asks by `interrupt` and is resumed by a
`Command`, and conditional edges. (A graph that understands in one node and is invoked anew with each message
was measured too, and is slower.)
"""

import gc
import re
import sys
import time
from typing import TypedDict

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, interrupt

SAID = ("4", "tomorrow", "7pm", "yes")


class Booking(TypedDict, total=False):
    party_size: int
    date: str
    time: str
    confirmed: bool
    reply: str
    reference: str


def party(state: Booking) -> Booking:
    found = re.search(r"\d+", interrupt("For how many people?"))
    return {"party_size": int(found[0])} if found else {}


def day(state: Booking) -> Booking:
    return {"date": "2026-11-25"} if "tomorrow" in interrupt("For which day?") else {}


def clock(state: Booking) -> Booking:
    found = re.search(r"(\d+)\s*pm", interrupt("At what time?"))
    return {"time": f"{int(found[1]) + 12}:00"} if found else {}


def confirm(state: Booking) -> Booking:
    question = "Shall I book a table for {party_size} on {date} at {time}?".format(**state)
    return {"confirmed": interrupt(question) == "yes"}


def book(state: Booking) -> Booking:
    return {"reference": "T-1", "reply": "Booked. Reference T-1."}


def until(slot: str, here: str, there: str):
    """A question is asked again until its slot is filled."""
    return lambda state: there if slot in state else here


def graph():
    built = StateGraph(Booking)
    for name, node in (
        ("ask_party", party),
        ("ask_date", day),
        ("ask_time", clock),
        ("ask_confirm", confirm),
        ("reserve", book),
    ):
        built.add_node(name, node)
    built.add_edge(START, "ask_party")
    built.add_conditional_edges("ask_party", until("party_size", "ask_party", "ask_date"))
    built.add_conditional_edges("ask_date", until("date", "ask_date", "ask_time"))
    built.add_conditional_edges("ask_time", until("time", "ask_time", "ask_confirm"))
    built.add_conditional_edges("ask_confirm", lambda state: "reserve" if state["confirmed"] else END)
    built.add_edge("reserve", END)
    return built.compile(checkpointer=InMemorySaver())


def main() -> None:
    compiled, number = graph(), 0
    # As the services do once they have started.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*map(int, sys.argv[1:]))
    print("ready", flush=True)
    for line in sys.stdin:
        count, begun = int(line), time.perf_counter()
        for _ in range(count):
            number += 1
            config = {"configurable": {"thread_id": str(number)}}
            compiled.invoke({}, config)
            for text in SAID:
                state = compiled.invoke(Command(resume=text), config)
            assert state["reply"] == "Booked. Reference T-1."
        print(count * (len(SAID) + 1) / (time.perf_counter() - begun), flush=True)


main()
