"""What the gateway tells of its models and backends, and the one change it takes: what an alias means."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog
from clawdbot.model_gateway.v1 import model_admin_service_pb2 as pb
from clawdbot_servicekit.errors import FieldViolation, InvalidRequest
from clawdbot_servicekit.paging import page_bounds
from google.protobuf.duration_pb2 import Duration

from clawdbot_model_gateway.core.backends import Backend
from clawdbot_model_gateway.core.errors import UnknownModel
from clawdbot_model_gateway.core.model_discovery import Directory
from clawdbot_model_gateway.core.routing import Routing, Target

log = structlog.get_logger(__name__)

LONGEST_ALIAS: Final = 128


class Catalogue:
    """Lists models and backends, and switches aliases.

    Args:
        routing: the table to change.
        directory: what names mean.
        backends: by name.
    """

    def __init__(self, routing: Routing, directory: Directory, backends: Mapping[str, Backend]) -> None:
        self._routing = routing
        self._directory = directory
        self._backends = backends

    def models(self, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
        """A page of aliases and targets, by name."""
        known = self._routing.routes.names()
        names, following = page_bounds(known, "models", request.page_size, request.page_token)
        return pb.ListModelsResponse(models=[self._model(each) for each in names], next_page_token=following)

    def model(self, request: pb.GetModelRequest) -> pb.GetModelResponse:
        """One alias or target.

        Raises:
            UnknownModel: neither.
        """
        return pb.GetModelResponse(model=self._model(request.name))

    def backends(self, request: pb.ListBackendsRequest) -> pb.ListBackendsResponse:
        """A page of backends, by name, with what they are doing now."""
        known = sorted(self._backends)
        names, following = page_bounds(known, "backends", request.page_size, request.page_token)
        states = [self._backends[each].state for each in names]
        return pb.ListBackendsResponse(backends=states, next_page_token=following)

    async def switch(self, request: pb.SwitchModelRequest) -> pb.SwitchModelResponse:
        """Points an alias at other targets, from the next request on; those in flight are not touched.

        Raises:
            InvalidRequest: the alias or a target does not fit.
            UnknownModel: a target is not there. The alias is as before.
            RecordUnavailable: the switch could not be recorded. The alias is as before.
        """
        begun = time.perf_counter()
        violations = [*_violations(request)]
        if violations:
            raise InvalidRequest(violations)
        targets = [
            Target(known.backend, known.model, each.weight or 1, each.fallback)
            for each in request.targets
            for known in [await self._directory.target(each.target)]
        ]
        previous = self._routing.point(request.alias, targets, request.request_id)
        elapsed = time.perf_counter() - begun
        log.info(
            "model_switched",
            alias=request.alias,
            targets=[each.name for each in targets],
            previous=[each.name for each in previous],
        )
        return pb.SwitchModelResponse(
            previous_targets=map(self._shown, previous), elapsed=Duration(nanos=round(elapsed * 1e9))
        )

    def described(self, alias: str) -> str:
        """An alias's targets as a person reads them: "vllm-a/qwen3, else openai/gpt-5-mini"."""
        targets = [self._shown(each) for each in self._routing.routes.aliases[alias]]
        regular = " or ".join(each.target for each in targets if not each.fallback)
        return ", else ".join([*([regular] if regular else []), *_fallbacks(targets)])

    def _model(self, name: str) -> pb.Model:
        routes = self._routing.routes
        if name in routes.aliases:
            return pb.Model(name=name, targets=map(self._shown, routes.aliases[name]))
        if not name:
            raise UnknownModel(name)
        target = routes.target(name)
        backend = self._backends[target.backend]
        model = backend.shown(target.model)
        length = next((each.context_length for each in backend.models if each.name == model), 0)
        return pb.Model(
            name=name,
            backend=backend.name,
            provider=backend.kind,
            vendor_model=model,
            context_length=length,
        )

    def _shown(self, target: Target) -> pb.Target:
        model = self._backends[target.backend].shown(target.model)
        name = Target(target.backend, model).name
        return pb.Target(target=name, weight=target.weight, fallback=target.fallback)


def _violations(request: pb.SwitchModelRequest) -> Iterator[FieldViolation]:
    if not request.alias or "/" in request.alias or len(request.alias) > LONGEST_ALIAS:
        yield FieldViolation("alias", f"Must be 1 to {LONGEST_ALIAS} characters without a slash.")
    if not request.targets:
        yield FieldViolation("targets", "At least one target is needed.")
    names = [each.target for each in request.targets]
    for place, each in enumerate(request.targets):
        if each.weight < 0:
            yield FieldViolation(f"targets[{place}].weight", "Must be at least 1.")
        if names.index(each.target) != place:
            yield FieldViolation(f"targets[{place}].target", f"{each.target} is there twice.")


def _fallbacks(targets: Sequence[pb.Target]) -> list[str]:
    return [each.target for each in targets if each.fallback]
