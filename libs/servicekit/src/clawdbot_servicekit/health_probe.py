"""`python -m clawdbot_servicekit.health_probe 127.0.0.1:8081`, for container engines without gRPC probes.

It exits with 0 if the service is SERVING, else with 1 and one sentence. It reads no settings: probe a server
with TLS over its Unix socket.
"""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]

from clawdbot_servicekit.health import READINESS


def problem(address: str, service: str, timeout: float) -> str | None:
    """Why the service is not SERVING, as a sentence; None if it is.

    Args:
        address: a gRPC target, such as 127.0.0.1:8081 or unix:/run/clawdbot.sock.
        service: "readiness", "liveness", or a gRPC service's full name.
        timeout: seconds for the connection and the answer.
    """
    # The proxy of the environment is for backends, not for this machine.
    with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            response = health_pb2_grpc.HealthStub(channel).Check(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.NOT_FOUND:
                return f"{address} has no service {service}."
            return f"{address} does not answer: {error.details()}."
    if response.status == health_pb2.HealthCheckResponse.SERVING:
        return None
    return f"{service} is {health_pb2.HealthCheckResponse.ServingStatus.Name(response.status)}."


def main() -> NoReturn:
    """Probes once, and exits."""
    parser = argparse.ArgumentParser(description="Exits with 0 if a service is SERVING, else with 1.")
    parser.add_argument("address", help="such as 127.0.0.1:8081 or unix:/run/clawdbot.sock")
    parser.add_argument("service", nargs="?", default=READINESS, help="default: %(default)s; or liveness")
    parser.add_argument("--timeout", type=float, default=2.0, help="seconds; default: %(default)s")
    arguments = parser.parse_args()
    sys.exit(problem(arguments.address, arguments.service, arguments.timeout))


if __name__ == "__main__":
    main()
