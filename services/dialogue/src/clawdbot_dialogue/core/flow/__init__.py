"""The flow language: from a YAML file to a checked, compiled, immutable flow. Knows nothing of conversations.

loading.py      load_flow(source, file) -> Flow, FlowInvalid
diagnostics.py  Diagnostic, with render(source)
codes.py        CODES: what each diagnostic code stands for
library.py      FlowLibrary (add, get, list), FlowNotFound, FlowVersionExists, shipped_flows()
slots/          what a flow wants to know: the types, validate_slots(flow, mapping), SlotInvalid
model.py        Flow and its parts
tree.py         how states nest: paths, names, what lies between two of them
"""
