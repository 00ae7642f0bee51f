"""`make bench-serving ARGS="wires [model=lr] [rounds=3] [seconds=2] [folder=DIR]"`: the other wires beside what they cost without us.

One worker on one core, the load on the other. Single rows over gRPC by 16 callers, beside the same calls to an
empty grpcio server and over HTTP; 10,000 rows in one request as Arrow, as columns of JSON and as rows of JSON. In turns, medians.
``wires.py empty PORT`` is that empty server, ``wires.py load PORT SECONDS BODIES`` its load.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median

import grpc
import pyarrow as pa
from models import NUMBERS, bodies, rows, trained
from run import LOAD_CORE, SERVER_CORE, Asked, command, free_port, loaded, started, stopped

from trimtab.serve.rpc.messages import SERVICE, message

CALLERS = 16
MANY = 10_000
METHOD = f"/{SERVICE}/ModelInfer"
PLAIN, ARROW = "application/json", "application/vnd.apache.arrow.stream"


async def empty(port: int) -> None:
    """A grpcio server that answers a constant."""

    async def answer(_: bytes, __: object) -> bytes:
        return b""

    server = grpc.aio.server()
    handlers = {"ModelInfer": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


async def load(port: int, seconds: float, sent: list[bytes]) -> float:
    """Calls a second, each caller's next one as soon as its last is answered."""
    done, requests = 0, cycle(sent)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(METHOD)
        await method(next(requests), wait_for_ready=True)
        began = time.perf_counter()

        async def call() -> None:
            nonlocal done
            while time.perf_counter() - began < seconds:
                await method(next(requests))
                done += 1

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        return done / (time.perf_counter() - began)


def called(port: int, seconds: str, sent: Path) -> float:
    run = subprocess.run(
        ["/usr/bin/taskset", "-c", LOAD_CORE, sys.executable, __file__, "load", str(port), seconds, str(sent)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return float(run.stdout)


def messages(model: str, count: int) -> list[bytes]:
    """Rows as calls, each with a binary tensor a feature."""
    made = []
    for row in rows(model, count, seed=1)[NUMBERS].to_numpy():
        asked = message("ModelInferRequest")(model_name=model)
        for name, value in zip(NUMBERS, row, strict=True):
            asked.inputs.add(name=name, datatype="FP64", shape=[1])
            asked.raw_input_contents.append(value.tobytes())
        made.append(asked.SerializeToString())
    return made


def batches(model: str) -> Mapping[str, tuple[str, bytes]]:
    """So many rows in each form, with its content type."""
    frame = rows(model, MANY, seed=2)
    table, sink = pa.Table.from_pandas(frame, preserve_index=False), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    each = [{"features": row} for row in frame.to_dict("records")]
    return {
        "Arrow": (ARROW, sink.getvalue().to_pybytes()),
        "columns of JSON": (PLAIN, json.dumps({"columns": frame.to_dict("list")}).encode()),
        "rows of JSON": (PLAIN, json.dumps({"rows": each}).encode()),
    }


def posted(port: int, model: str, media: str, body: bytes) -> float:
    """Seconds until the answer was there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    began = time.perf_counter()
    connection.request("POST", f"/models/{model}/predict", body, {"content-type": media})
    reply = connection.getresponse()
    told = reply.read()
    took = time.perf_counter() - began
    connection.close()
    if reply.status != http.client.OK:
        raise SystemExit(told[:500].decode())
    return took


def main(arguments: Sequence[str]) -> None:
    given = dict(word.split("=", 1) for word in arguments)
    folder = Path(given.get("folder", Path(tempfile.gettempdir()) / "trimtab-bench-serving"))
    folder.mkdir(parents=True, exist_ok=True)
    model, seconds = given.get("model", "lr"), given.get("seconds", "2")
    rounds = int(given.get("rounds", "3"))
    plain, raw = folder / f"{model}.bodies", folder / f"{model}.messages"
    plain.write_bytes(b"\n".join(bodies(model, 2_000, seed=1)))
    raw.write_text("\n".join(one.hex() for one in messages(model, 2_000)))
    ours, theirs = free_port(), free_port()
    asked = Asked(free_port(), f"/models/{model}/predict", plain)
    words = command(folder, "trimtab", model, trained(folder, model), asked.port)
    settings = ["/usr/bin/env", f"TRIMTAB_SERVE__GRPC_PORT={ours}", "TRIMTAB_SERVE__MAX_BODY_BYTES=50000000"]  # fmt: skip
    server = started([*settings, *words], asked, folder / f"{model}-wires.log")
    other = subprocess.Popen(
        ["/usr/bin/taskset", "-c", SERVER_CORE, sys.executable, __file__, "empty", str(theirs)]
    )
    rates: dict[str, list[float]] = {"gRPC": [], "an empty grpcio server": [], "HTTP": []}
    forms = batches(model)
    took: dict[str, list[float]] = {name: [] for name in forms}
    try:
        for media, body in forms.values():  # a worker loads Arrow when it is asked for it
            posted(asked.port, model, media, body)
        for _ in range(rounds):
            rates["gRPC"].append(called(ours, seconds, raw))
            rates["an empty grpcio server"].append(called(theirs, seconds, raw))
            rates["HTTP"].append(loaded(asked, CALLERS, seconds)["per_second"])
            for name, (media, body) in forms.items():
                took[name].append(posted(asked.port, model, media, body))
    finally:
        other.terminate()
        other.wait()
        stopped(server.process)
    print(
        f"\n{model}, single rows, {CALLERS} at once\n| | answers/s | gRPC's rate over it |\n|---|---|---|"
    )
    grpc_rate = median(rates["gRPC"])
    for name, found in rates.items():
        print(f"| {name} | {median(found):,.0f} | {grpc_rate / median(found):.2f} |")
    print(
        f"\n{MANY:,} rows in one request\n| | ms | Arrow's time over it | sent, KB |\n|---|---|---|---|"
    )
    arrow = median(took["Arrow"])
    for name, found in took.items():
        print(f"| {name} | {median(found) * 1e3:,.0f} | {arrow / median(found):.2f} |"
              f" {len(forms[name][1]) / 1e3:,.0f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["empty"]:
        asyncio.run(empty(int(sys.argv[2])))
    elif sys.argv[1:2] == ["load"]:
        calls = [bytes.fromhex(line) for line in Path(sys.argv[4]).read_text().split()]
        print(asyncio.run(load(int(sys.argv[2]), float(sys.argv[3]), calls)))
    else:
        main(sys.argv[1:])
