"""A service as a process of the operating system: arguments, signals, exit codes, worker processes.

`python -m clawdbot_dialogue` is `run_service(DialogueSettings, build)`; `clawdbot up` is `serve(settings, assemble)`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from clawdbot_servicekit.settings import SharedSettings

if TYPE_CHECKING:
    from clawdbot_servicekit.application import Application, Peers
    from clawdbot_servicekit.host import Host

S = TypeVar("S", bound=SharedSettings)


def run_service(settings_cls: type[S], build: Callable[[S, Peers], Application]) -> NoReturn:
    """The whole main() of one service: reads --config and the environment, serves, exits.

    Args:
        settings_cls: the service's settings.
        build: its wiring.build; the peers given to it are reached over the network.
    """
    raise NotImplementedError


def serve(
    settings: SharedSettings,
    assemble: Callable[[Host], None],
    *,
    on_serving: Callable[[Host], None] | None = None,
) -> int:
    """Serves until a signal, in this process or in `server.workers` of them, and returns the exit code.

    Args:
        settings: the process's settings; logging is set up from them.
        assemble: adds the applications to the host; called in the process that serves, inside the loop.
        on_serving: called once, when the host (with workers: every worker; then in the first one) is SERVING.
    """
    raise NotImplementedError


def run(main: Callable[[], Coroutine[Any, Any, int | None]]) -> NoReturn:
    """Runs a coroutine under uvloop and exits: 0 or its own code; 2 with one sentence for a StartupError."""
    raise NotImplementedError
