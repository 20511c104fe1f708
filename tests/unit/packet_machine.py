"""The kernel's packet filter, as its documentation has it, for programs that are to be tried on many packets."""

from collections.abc import Sequence
from dataclasses import dataclass

from netledger.sources.packet_program import NETWORK_HEADER, PROTOCOL, Instruction

WORD = 0xFFFF_FFFF
SIZES = {0x00: 4, 0x08: 2, 0x10: 1}
LOAD_A, LOAD_X, STORE_A, STORE_X, COMPUTE, JUMP, RETURN, MOVE = range(8)


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame as a packet socket has it."""

    data: bytes
    network_at: int = 14
    protocol: int = 0x0800

    def load(self, at: int, size: int) -> int:
        if at == PROTOCOL:
            return self.protocol
        if at >= NETWORK_HEADER:
            at = at - NETWORK_HEADER + self.network_at
        piece = self.data[at : at + size]
        if len(piece) != size:
            raise _OutsideError
        return int.from_bytes(piece, "big")


class _OutsideError(Exception):
    """A load from where the packet is not, or a division by zero: the kernel gives up and does not keep it."""


@dataclass(slots=True)
class _Machine:
    frame: Frame
    memory: list[int]
    a: int = 0
    x: int = 0

    def loaded(self, code: int, k: int) -> int:
        match code & 0xE0:
            case 0x00:
                return k
            case 0x20:
                return self.frame.load(k, SIZES[code & 0x18])
            case 0x40:
                return self.frame.load((k + self.x) & WORD, SIZES[code & 0x18])
            case 0x60:
                return self.memory[k]
            case 0x80:
                return len(self.frame.data)
            case _:
                return 4 * (self.frame.load(k, 1) & 0xF)

    def computed(self, code: int, k: int) -> int:
        value, operation = self.x if code & 8 else k, code & 0xF0
        if operation in {0x30, 0x90} and value == 0:
            raise _OutsideError
        done = {
            0x00: int.__add__, 0x10: int.__sub__, 0x20: int.__mul__, 0x30: int.__floordiv__, 0x40: int.__or__,
            0x50: int.__and__, 0x60: int.__lshift__, 0x70: int.__rshift__, 0x90: int.__mod__, 0xA0: int.__xor__,
        }  # fmt: skip
        return done[operation](self.a, value) & WORD

    def holds(self, code: int, k: int) -> bool:
        value = self.x if code & 8 else k
        is_so = {0x10: self.a == value, 0x20: self.a > value, 0x30: self.a >= value, 0x40: bool(self.a & value)}
        return is_so[code & 0xF0]


def run(program: Sequence[Instruction], frame: Frame) -> int:
    """What the program returns for a frame."""
    machine = _Machine(frame, [0] * 16)
    try:
        return _run(program, machine)
    except _OutsideError:
        return 0


def _run(program: Sequence[Instruction], machine: _Machine) -> int:
    place = 0
    while True:
        code, yes, no, k = program[place]
        place += 1
        match code & 7:
            case 0:
                machine.a = machine.loaded(code, k)
            case 1:
                machine.x = machine.loaded(code, k)
            case 2 | 3 as kind:
                machine.memory[k] = machine.a if kind == STORE_A else machine.x
            case 4:
                machine.a = machine.computed(code, k)
            case 5:
                place += k if not code & 0xF0 else (yes if machine.holds(code, k) else no)
            case 6:
                return machine.a if code & 0x18 == 0x10 else k
            case _ if code & 0x80:
                machine.a = machine.x
            case _:
                machine.x = machine.a
