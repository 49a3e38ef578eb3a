"""A simulated Etsy (Open API v3 and picture CDN) for demos, tests and benchmarks."""

from sandbox.answer import Answer, Call
from sandbox.drift import Move
from sandbox.faults import Fault
from sandbox.market import PictureAddress, Truth
from sandbox.sandbox import Sandbox
from sandbox.server import SandboxServer
from sandbox.settings import Clock, RealClock, SandboxSettings

__all__ = [
    "Answer",
    "Call",
    "Clock",
    "Fault",
    "Move",
    "PictureAddress",
    "RealClock",
    "Sandbox",
    "SandboxServer",
    "SandboxSettings",
    "Truth",
]
