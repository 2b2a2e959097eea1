"""What the compiler's own arrays do not have: memory asked for ahead of its use, and words that lie at any byte.

A look into a large table costs a miss of some hundred cycles; a processor has ten and more of them under way at once, where
it knows of them early enough.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

AHEAD = 8
"""How many rows before its own turn a row's memory is asked for: enough to cover a miss, few enough to stay in the cache."""


def _instruction(function: Callable[..., Any]) -> Any:
    """What it gives is called by kernels alone, with arrays and numbers of the compiler's."""
    return intrinsic(function)


@_instruction
def prefetch(_typing: Any, array: Any, item: Any) -> Any:
    """Ask for the cache line of an item of a contiguous array, by its number among all. It never faults, wherever that is.

    The instruction is LLVM's `llvm.prefetch`: to be read, kept in all caches.
    """
    _require(array, item)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, word = _address(context, builder, signature, arguments, 8), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(function, [address, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(array, item), generate


@_instruction
def word_at(_typing: Any, array: Any, item: Any) -> Any:
    """Eight bytes from an item of a contiguous array on as a number, in the machine's own order. They must be there."""
    _require(array, item)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(_address(context, builder, signature, arguments, 64), align=1)

    return types.uint64(array, item), generate


def _require(array: Any, item: Any) -> None:
    if not (isinstance(array, types.Array) and array.layout == "C" and isinstance(item, types.Integer)):
        raise TypeError(f"{array}, {item}: wanted are a contiguous array and the number of an item")


def _address(context: Any, builder: Any, signature: Any, arguments: Any, bits: int) -> Any:
    data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(bits).as_pointer())
