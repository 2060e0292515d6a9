#!/usr/bin/python3
"""Asks a server how it is, as a user of python3-grpcio would.

Usage: python_client.py check|watch|connect ADDRESS [NAME]

  check    prints the status of NAME, or "error" and the code
  watch    prints each status of NAME, and at last "error" and the code
  connect  prints each state of a channel that uses ADDRESS (round_robin) while
           NAME serves there

The generated health_pb2 must be in PYTHONPATH. Exit status: 0, or 2 if the
command line is wrong.
"""

import json
import sys
import threading

import grpc
import health_pb2

WAIT_SECONDS = 60


def show(text):
    print(text, flush=True)


def show_statuses(responses):
    try:
        for response in responses:
            show(health_pb2.HealthCheckResponse.ServingStatus.Name(response.status))
    except grpc.RpcError as error:
        show(f"error {error.code().value[0]}")


def method(make, name):
    return make(
        f"/grpc.health.v1.Health/{name}",
        request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
        response_deserializer=health_pb2.HealthCheckResponse.FromString,
    )


def check(address, request):
    with grpc.insecure_channel(address) as channel:
        call = method(channel.unary_unary, "Check")
        show_statuses(call(request, timeout=WAIT_SECONDS) for _ in range(1))


def watch(address, request):
    with grpc.insecure_channel(address) as channel:
        call = method(channel.unary_stream, "Watch")
        show_statuses(call(request, timeout=WAIT_SECONDS))


def connect(address, request):
    config = {
        "loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": request.service},
    }
    channel = grpc.insecure_channel(
        address, options=[("grpc.service_config", json.dumps(config))]
    )
    channel.subscribe(lambda state: show(state.name), try_to_connect=True)
    threading.Event().wait(WAIT_SECONDS)


def main(arguments):
    verbs = {"check": check, "watch": watch, "connect": connect}
    if len(arguments) not in (2, 3) or arguments[0] not in verbs:
        sys.stderr.write(__doc__)
        sys.exit(2)
    verb, address, name = (arguments + [""])[:3]
    verbs[verb](address, health_pb2.HealthCheckRequest(service=name))


if __name__ == "__main__":
    main(sys.argv[1:])
