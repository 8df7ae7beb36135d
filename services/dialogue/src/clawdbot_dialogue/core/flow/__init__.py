"""The flow language: turns a YAML file into a checked, compiled, immutable flow. Knows nothing of sessions.

loader.py            validate_flow(source, file), load_flow, check_references (names across flows)
flow_check.py        everything that can be wrong with a source; also runs as a process with limits
flow_registry.py     the flows by name and version, and the shipped ones
model.py             Flow and its parts: states, transitions, actions
tree.py              nested states: paths, name resolution, ancestors, transition domains
templates.py         texts with placeholders
diagnostics.py       Diagnostic with its rendering, and the collector
diagnostic_codes.py  CODES: what each diagnostic code means

parse/               from YAML to the source model
  yaml_parser.py        YAML 1.2 with the position of every key and value
  schema_validation.py  checks a document against the source model
  source_model.py       the keys of a flow file, as pydantic models
  localized.py          marks the keys that may have one value per language
  localization.py       splits a multilingual document into one per language
  json_schema.py        the JSON Schema for editors
compile/             from the source model to a Flow
  flows.py              FlowCompiler
  states.py             the states, flattened, with what they inherit
  slots.py              the slots, with their options checked
  linker.py             resolves names; compiles texts and expressions
  misplaced_keys.py     keys that have no effect in a state of their kind
cel/                 CEL expressions
  expressions.py        compiles and evaluates them
  fast_path.py          evaluates the common ones without CEL
  types.py              the types of slots as CEL sees them
  errors.py             CEL's errors in plain words
slots/               typed slots
  slot.py               Slot and SlotType
  types.py              SLOT_TYPES; one file per family: scalars, datetimes, money, contacts, composites
  partial_values.py     values that are put together over several messages
  validation.py         checks values from callers
lint/                likely mistakes in a flow that compiles; its __init__ lists the checks
diagrams/            flows as Mermaid or Graphviz text
"""
