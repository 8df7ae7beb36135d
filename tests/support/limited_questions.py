"""A module that limited processes run in tests: each question is a Python expression."""

from __future__ import annotations

from clawdbot_servicekit.limited_main import serve_questions


def main() -> None:
    """Answers with the value of the expression."""
    serve_questions(lambda question: str(eval(question)).encode())


if __name__ == "__main__":
    main()
