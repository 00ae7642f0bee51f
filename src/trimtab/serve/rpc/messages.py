"""The messages of the protocol's gRPC service, made from its compiled description.

They stand in a pool of their own, so another package that brings the same service, such as tritonclient,
may live in the same process; and they depend on no version of the generator.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "inference.GRPCInferenceService"

_pool = descriptor_pool.DescriptorPool()
_described = descriptor_pb2.FileDescriptorSet.FromString(
    Path(__file__).with_name("open_inference.desc").read_bytes()
)
for _file in _described.file:
    _pool.Add(_file)


def message(name: str) -> Any:
    """The class of a message, for example ``ModelInferRequest``."""
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"inference.{name}"))


def methods() -> tuple[tuple[str, Any, Any], ...]:
    """Every method of the service with the classes of its request and its answer."""
    service = _pool.FindServiceByName(SERVICE)
    return tuple(
        (
            method.name,
            message_factory.GetMessageClass(method.input_type),
            message_factory.GetMessageClass(method.output_type),
        )
        for method in service.methods
    )
