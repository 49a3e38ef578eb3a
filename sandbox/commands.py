"""The command line of the sandbox: read the arguments, serve, and say where."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from sandbox.faults import EFFECTS, PICTURE, Fault, WrongFault, parse_fault
from sandbox.picture_faults import PICTURE_EFFECTS
from sandbox.sandbox import Sandbox
from sandbox.server import SandboxServer
from sandbox.settings import SandboxSettings

EXAMPLE = """example:
  python -m sandbox --port 8080 --listings 500 --move-every 20 \\
      --fault server_error:endpoint=findAllListingsActive,share=0.02 --fault reset:after=50,count=3 \\
      --fault truncated:endpoint=picture,share=0.01

The one line that is printed can be put before a crawler's command, or into its shell.
faults: {faults}
faults of pictures, which need endpoint={picture}: {picture_faults}
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """Say what is wrong in one sentence and leave with status 2."""
        self.exit(2, f"sandbox: {message}\n")


def _within(low: float, kind: Callable[[str], Any], high: float = 10**12) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be between {low:g} and {high:g}, not {text}")
        return value

    read.__name__ = "number"
    return read


def _fault(text: str) -> Fault:
    try:
        return parse_fault(text)
    except WrongFault as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parser() -> argparse.ArgumentParser:
    default = SandboxSettings()
    count, some = _within(0, int), _within(1, int)
    parser = _Parser(
        prog="sandbox",
        description="Serve a simulated Etsy (API and pictures) until SIGINT or SIGTERM.",
        epilog=EXAMPLE.format(faults=", ".join(EFFECTS), picture=PICTURE, picture_faults=", ".join(PICTURE_EFFECTS)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    add("--port", type=_within(0, int, 65_535), default=0, help="0 lets the system choose one (%(default)s)")
    add("--seed", type=int, default=default.seed, help="which market to grow (%(default)s)")
    add("--listings", type=some, default=default.listings, help="active furniture listings (%(default)s)")
    add("--shops", type=some, default=None, help="shops (one for every 12 listings)")
    add("--reviews-per-shop", type=_within(0, float), default=default.reviews_per_shop, help="(%(default)s)")
    add("--quota", type=count, default=default.quota_per_day, help="calls in 24 hours (%(default)s)")
    add("--calls-per-second", type=some, default=default.calls_per_second, help="(%(default)s)")
    add("--cap", type=count, default=default.cap, help="largest offset of a search (%(default)s)")
    add(
        "--latency",
        type=_within(0, float),
        default=0.0,
        help="seconds before each API answer (%(default)s)",
    )
    add(
        "--picture-latency",
        type=_within(0, float),
        default=0.0,
        help="seconds before each picture (%(default)s)",
    )
    add(
        "--move-every",
        type=count,
        default=0,
        help="one thing happens each so many calls; 0: never (%(default)s)",
    )
    add("--fault", type=_fault, action="append", default=[], metavar="NAME[:key=value,...]", help="see below")
    add("--key", default=default.key, help="keystring:secret that clients must send (%(default)s)")
    return parser


def _settings(args: argparse.Namespace) -> SandboxSettings:
    return SandboxSettings(
        seed=args.seed,
        listings=args.listings,
        shops=args.shops,
        reviews_per_shop=args.reviews_per_shop,
        key=args.key,
        quota_per_day=args.quota,
        calls_per_second=args.calls_per_second,
        cap=args.cap,
        move_every=args.move_every,
        latency_seconds=args.latency,
        picture_latency_seconds=args.picture_latency,
    )


def main(argv: Sequence[str]) -> int:
    """Serve a sandbox until SIGINT or SIGTERM; return the exit status."""
    try:
        args = _parser().parse_args(argv)
    except SystemExit as leaving:
        return int(leaving.code or 0)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(_settings(args))
    for fault in args.fault:
        sandbox.faults.add(fault)
    try:
        server = SandboxServer(sandbox, args.host, args.port)
    except OSError as error:
        print(f"sandbox: cannot listen on {args.host}:{args.port}: {error}", file=sys.stderr)
        return 2
    with server:
        print(
            f"export ETSY_API_URL={server.api_url} ETSY_CDN_URL={server.cdn_url} ETSY_API_KEY={args.key}",
            flush=True,
        )
        stop.wait()
    return 0
