"""Work in parts, side by side, started by compiled code.

To wake a thread through Python's lock costs as much as a small operator; from compiled code it
takes some microseconds. Which threads these are is for ``threads.py`` to say.
"""

import ctypes
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from l2s.kernels import threads
from l2s.kernels.native import element

_WORTH_A_THREAD = 1 << 16  # numbers; less is done sooner than another core's cache has them
_VOID, _BYTES = ir.VoidType(), ir.IntType(8).as_pointer()
_INT32, _INT64 = ir.IntType(32), ir.IntType(64)


@element
def parts_of(rows: int, numbers: int, limit: int) -> int:
    """Return how many parts are worth it: small work, below 65,536 numbers a part, is not cut."""
    return max(1, min(limit, rows, numbers // _WORTH_A_THREAD))


@intrinsic
def in_team(
    typing_context: Any, work: Any, arguments: Any, rows: Any, parts: Any
) -> tuple[Any, Any]:
    """Call ``work(*arguments, part, first, last)`` for parts of the rows, side by side.

    For compiled code alone. ``work`` is a compiled function without a result, ``arguments`` a tuple
    and ``part`` a number below ``parts``, another one for each call; the calls may be fewer. Where
    one of them fails, which only a lack of memory brings about, so does the caller.
    """
    given = (*arguments.types, types.intp, types.intp, types.intp)
    typing_context.resolve_function_type(work, given, {})  # compiles it

    def generate(context: Any, builder: Any, _: Any, values: Any) -> Any:
        compiled = work.dispatcher.overloads[given]
        context.add_linking_libs([compiled.library])
        callee = context.declare_function(builder.module, compiled.fndesc)

        _, packed, count, wanted = values
        # What the threads share: the arguments, how many rows there are, and whether one failed.
        shared = cgutils.alloca_once(builder, ir.LiteralStructType([packed.type, _INT64, _INT32]))
        for place, value in enumerate((packed, count, _INT32(0))):
            builder.store(value, _field(builder, shared, place))
        body, inside = _new_body(builder.module)
        own = inside.bitcast(body.args[0], shared.type)
        part, first, last = _share(inside, inside.load(_field(inside, own, 1)))
        kept = inside.load(_field(inside, own, 0))
        inner = [inside.extract_value(kept, place) for place in range(len(arguments.types))]
        status, _ = context.call_conv.call_function(
            inside, callee, types.none, given, [*inner, part, first, last]
        )
        with inside.if_then(status.is_error):
            inside.store(_INT32(1), _field(inside, own, 2))
        inside.ret_void()
        data = builder.bitcast(shared, _BYTES)
        with builder.if_else(builder.icmp_signed(">", wanted, _INT64(1))) as (many, one):
            with many:
                signature = [body.type, _BYTES, _INT32, _INT32]
                start = _external(builder.module, threads.PARALLEL, _VOID, signature)
                builder.call(start, [body, data, builder.trunc(wanted, _INT32), _INT32(0)])
            with one:
                builder.call(body, [data])  # outside a team, a thread is one of one
        has_failed = builder.icmp_signed("!=", builder.load(_field(builder, shared, 2)), _INT32(0))
        with builder.if_then(has_failed):
            context.call_conv.return_user_exc(builder, MemoryError, ("There is no memory left.",))
        return context.get_dummy_value()

    return types.void(work, arguments, types.intp, types.intp), generate


def _new_body(module: Any) -> tuple[Any, Any]:
    """Return an empty function of the data that a team shares, and what writes into it."""
    kind = ir.FunctionType(_VOID, [_BYTES])
    body = ir.Function(module, kind, module.get_unique_name("l2s_part"))
    body.linkage = "internal"
    return body, ir.IRBuilder(body.append_basic_block("entry"))


def _share(inside: Any, rows: Any) -> tuple[Any, Any, Any]:
    """Return which part of a team's work a thread has: its number, first row and end."""
    part, team = (  # the team may be smaller than asked for
        inside.sext(inside.call(_external(inside.module, name, _INT32, []), []), _INT64)
        for name in (threads.NUMBER, threads.SIZE)
    )
    first = inside.sdiv(inside.mul(rows, part), team)
    return part, first, inside.sdiv(inside.mul(rows, inside.add(part, _INT64(1))), team)


def _field(builder: Any, struct: Any, place: int) -> Any:
    return cgutils.gep_inbounds(builder, struct, 0, place)


def _external(module: Any, name: str, result: Any, arguments: list[Any]) -> Any:
    return cgutils.get_or_insert_function(module, ir.FunctionType(result, arguments), name)


for _name, _function in threads.entry_points().items():
    llvm.add_symbol(_name, ctypes.cast(_function, ctypes.c_void_p).value)
