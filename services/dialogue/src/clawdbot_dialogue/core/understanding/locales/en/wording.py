"""What the machine says in English of its own accord. A flow's `say` and `ask` come before any of these."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

WORDING: Mapping[str, str] = MappingProxyType(
    {
        "ask": "What is the {name}?",
        "ask_date": "On which day?",
        "ask_time": "At what time?",
        "the_date": "date",
        "the_time": "time",
        "not_understood": "Sorry, I did not understand that.",
        "cancelled": "All right, I have stopped here.",
        "cannot_cancel": "This cannot be cancelled just now.",
        "no_person": "Sorry, there is no person here whom I can pass you to.",
        "handed_off": "I am passing you on to a person.",
        "help": "This is what I can do here: {description}.",
        "greeting": "Hello!",
        "thanks": "You are welcome.",
        "how_are_you": "Fine, thank you.",
        "farewell": "Goodbye!",
        "tool_failed": "Sorry, something went wrong on my side.",
        "model_failed": "Sorry, I cannot answer just now.",
        "stuck": "Sorry, I do not know how to go on.",
        "unknown": "(unknown)",
        "yes": "yes",
        "no": "no",
        "either": "Is it {first} or {second}?",
        "too_late": "That is done already and cannot be changed here.",
        "too_small": "The {name} must be at least {limit}.",
        "too_large": "The {name} must be at most {limit}.",
        "too_early": "The {name} must not be before {limit}.",
        "too_late_value": "The {name} must not be after {limit}.",
        "too_short": "The {name} needs at least {limit} characters.",
        "too_long": "The {name} must not have more than {limit} characters.",
        "no_match": "That does not look like a valid {name}.",
        "not_a_value": "The {name} must be one of: {limit}.",
        "not_integer": "The {name} must be a whole number.",
        "not_number": "The {name} must be a number.",
        "not_text": "The {name} must be text.",
        "not_boolean": "The {name} must be yes or no.",
        "not_date": 'The {name} must be a day, such as "2026-12-01".',
        "not_time": 'The {name} must be a time of day, such as "19:30".',
        "not_datetime": 'The {name} must be a day and a time, such as "2026-12-01 19:30".',
        "not_duration": 'The {name} must be a length of time, such as "2 hours".',
        "not_money": 'The {name} must be a sum of money with its currency, such as "30 euros".',
        "not_currency": "The {name} must be in {limit}.",
        "not_email": "That does not look like a valid e-mail address.",
        "not_phone": "That does not look like a valid phone number.",
        "not_object": "The {name} is made of: {limit}.",
        "not_list": "The {name} must be a list.",
        "part_missing": "The {name} needs: {limit}.",
        "too_few": "At least {limit} are needed here.",
        "too_many": "No more than {limit} are possible here.",
    }
)
