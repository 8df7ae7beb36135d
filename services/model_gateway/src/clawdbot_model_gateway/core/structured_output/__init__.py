"""Structured output for backends that do not support the requested response format.

spec.py              the requested format, and how JSON is found in a text
prompts.py           how the format is requested instead: with a tool or in the prompt, and how it is retried
candidate.py         one reply of the backend: the answer in it, and what it cost
validation.py        validates an answer, within bounds of time and memory
validator_process.py validates an answer against a schema; also runs as a process
emulation.py         the model wrapper that ties these together
"""
