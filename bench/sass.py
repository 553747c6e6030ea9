"""How fast the Nano can decode, predicted from the machine code of the kernels that multiply matrices by vectors.

    python -m bench.sass [MODEL.gguf…]

Compiles them for the Nano's GPU, as they are upstream and as patches/0021 has them, counts the instructions of their
inner loops for each weight, and takes a model's shapes times that, against three limits: instructions, loads, memory.
Prints tables, writes build/bench/sass.json and a plot. Exits with 1 if the upstream kernels give other counts than
those that the method was checked with. Everything it says of tokens a second is predicted, not measured.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from bench import record
from bench.nvidia import Kernel, compile_unit
from bench.roofline import Point, svg
from bench.source import checkout
from bench.tensors import QWEN, SEED_BYTES, GgufError, Model, models, read, size
from sandbox.machine import SandboxError

PATCH = "0021-cuda-half2-mat-vec.patch"

INSTRUCTIONS = 128 * 0.9216e9
"""Per second and lane: 128 lanes at 921.6 MHz, the Nano's highest clock. Two that are issued together count as two."""

MEMORY = 25.6e9
"""Bytes a second: 64 bits of LPDDR4 at 1600 MHz, nominal."""

LOADS = 128 * 0.9216e9
"""Bytes a second from the first cache to registers: 32 lanes of 4 bytes in every clock."""

SLICE = 1024
"""Products that patches/0022 lets cuBLAS add up in halves: HGEMM_SLICE."""

PROMPT = 300
"""Tokens: a polishing instruction with a text of some hundred words."""

REGISTERS = 65536
"""Of a multiprocessor; a warp gets its own in units of 256."""

WARPS = 64
"""That a multiprocessor holds at most."""

TYPES = {2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K"}
"""ggml_type numbers, as they stand in the kernels' names."""

UPSTREAM_WEIGHTS = dict.fromkeys(TYPES.values(), 16) | {"Q8_0": 8, "Q6_K": 8}
"""That a thread of mul_mat_vec_q takes in a turn of its loop: a block's weights, times VDR/QI of vecdotq.cuh."""

HALF2_WEIGHTS = 64
"""The same of mul_mat_vec_half2: HALF2_CHUNK."""

CHECKED = {
    ("Q4_0", 1): 92,
    ("Q4_1", 1): 82,
    ("Q8_0", 1): 55,
    ("Q4_K", 1): 152,
    ("Q6_K", 1): 152,
    ("Q4_0", 2): 248,
    ("Q4_0", 4): 411,
    ("Q4_K", 2): 471,
    ("Q4_K", 4): 874,
}
"""Instructions in the loops of mul_mat_vec_q at b5050 by type and columns, counted by hand when the method was made.
From two columns on a thread does two rows."""

CHECKED_SPEED = {"Qwen2.5-1.5B Q4_K_M, the original recipe's": 6.3, "Qwen2.5-1.5B Q4_0, its output Q6_K": 9.9}
"""Tokens a second that they amount to. Owners of the board report 5.3 to 6.7 for the first and about 8 for the second,
so the method is right within its spread for the one and 24 % too high for the other."""

TOLERANCE = 0.02
"""Another build of clang 14 may place an instruction elsewhere; more than this is another kernel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a kernel costs."""

    loop: int
    """Instructions in its inner loop."""
    weights: int
    """That they are for, times columns."""
    loaded: int
    """Bytes that a thread loads in the loop; less than four are as much work as four."""
    outside: int
    """Instructions before and after, at most: some are only for some of the warps."""
    registers: int
    spilled: int

    @property
    def each(self) -> float:
        """Instructions for a weight and column."""
        return self.loop / self.weights

    @property
    def warps(self) -> int:
        """That a multiprocessor can hold at a time, for want of registers."""
        of_a_warp = -(-32 * self.registers // 256) * 256
        return min(WARPS, REGISTERS // of_a_warp)


Costs = dict[tuple[str, int], Cost]
"""By type and columns."""


def inner_loop(sass: tuple[str, ...]) -> tuple[str, ...]:
    """The longest stretch from a label to a jump back to it. Each kernel ends with a jump to itself, which is none.

    Raises:
        SandboxError: there is none.
    """
    labels = {line[:-1]: index for index, line in enumerate(sass) if line.endswith(":")}
    loops = [
        sass[labels[jump[1]] + 1 : index + 1]
        for index, line in enumerate(sass)
        if (jump := re.search(r"\bBRA `\((\.L_\w+)\)", line)) and labels.get(jump[1], index) < index - 1
    ]
    if not loops:
        raise SandboxError("a kernel has no loop: the compiler unrolled it, so there is nothing to count")
    return tuple(line for line in max(loops, key=len) if not line.endswith(":"))


def costs(kernels: list[Kernel], name: str) -> Costs:
    """The costs of the instances of `name` that are of a known type, for one to four columns."""
    found = {}
    for kernel in kernels:
        match = re.search(rf"\d{name}IL\w*?ggml_type(\d+)ELi([1-4])E", kernel.name)
        if match is None or int(match[1]) not in TYPES:
            continue
        kind, columns = TYPES[int(match[1])], int(match[2])
        loop = inner_loop(kernel.sass)
        if name == "mul_mat_vec_half2":
            weights = HALF2_WEIGHTS * columns
            _see_weights(kernel, loop, weights)
        else:
            weights = UPSTREAM_WEIGHTS[kind] * (1 if columns == 1 else 2) * columns
        instructions = sum(not line.endswith(":") and line != "NOP" for line in kernel.sass)
        found[kind, columns] = Cost(
            loop=len(loop),
            weights=weights,
            loaded=sum(_loaded(line) for line in loop),
            outside=instructions - len(loop),
            registers=kernel.registers,
            spilled=kernel.spilled,
        )
    return found


def _loaded(line: str) -> int:
    """Bytes that an instruction loads from global memory."""
    load = re.search(r"\bLDG\.E\S*", line)
    return 0 if load is None else 16 if ".128" in load[0] else 8 if ".64" in load[0] else 4


def _see_weights(kernel: Kernel, loop: tuple[str, ...], weights: int) -> None:
    """Each multiplication takes two weights: a loop that has more was unrolled, and costs less than it seems."""
    multiplications = sum(line.startswith("HFMA2") for line in loop)
    if 2 * multiplications != weights:
        raise SandboxError(f"{kernel.name}: {multiplications} HFMA2 in its loop, not one for two of {weights} weights")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """What a token of a model takes."""

    instructions: float
    loaded: float
    """Bytes from the first cache."""
    bytes: float
    """Bytes from memory."""

    @property
    def by_instructions(self) -> float:
        """Tokens a second, if nothing else were a limit."""
        return INSTRUCTIONS / self.instructions

    @property
    def by_memory(self) -> float:
        """The same for memory."""
        return MEMORY / self.bytes

    @property
    def by_loads(self) -> float:
        """The same for the first cache."""
        return LOADS / self.loaded

    @property
    def speed(self) -> float:
        """Tokens a second: the lowest limit."""
        return min(self.by_instructions, self.by_loads, self.by_memory)


def predict(model: Model, costs: Costs) -> Prediction:
    """What a token takes, with one column.

    Raises:
        SandboxError: a type of the model has no counted kernel.
    """
    unknown = [kind for kind in model.weights if (kind, 1) not in costs]
    if unknown:
        raise SandboxError(f"{model.name} holds matrices of type {', '.join(unknown)}, whose kernels are not counted")
    instructions = sum(count * costs[kind, 1].each for kind, count in model.weights.items())
    loaded = sum(count * costs[kind, 1].loaded / costs[kind, 1].weights for kind, count in model.weights.items())
    return Prediction(instructions=instructions, loaded=loaded, bytes=model.bytes)


def differences(upstream: Costs) -> list[str]:
    """Where the counts are not those that the method was checked with, one line each."""
    wrong = [
        f"{kind} with {columns} columns: {upstream[kind, columns].loop} instructions in the loop, {loop} are right"
        for (kind, columns), loop in CHECKED.items()
        if abs(upstream[kind, columns].loop / loop - 1) > TOLERANCE
    ]
    named = {model.name: model for model in models()}
    for name, speed in CHECKED_SPEED.items():
        predicted = predict(named[name], upstream).speed
        if abs(predicted / speed - 1) > TOLERANCE:
            wrong.append(f"{name}: {predicted:.1f} tokens a second predicted, {speed} are right")
    # Besides its matrices the file holds the embedding, and in a hundredth of its size the vocabulary and the norms.
    holds = size(models()[0].weights + Counter(Q4_K=QWEN.output))
    if abs(holds / SEED_BYTES - 1) > TOLERANCE:
        wrong.append(
            f"the original recipe's model: {holds / 1e6:.0f} MB by its shapes, {SEED_BYTES / 1e6:.0f} are right"
        )
    return wrong


def print_costs(upstream: Costs, ours: Costs) -> None:
    """The budget: instructions by type and columns."""
    print(f"{'instructions':14}{'unpatched':>30}{'patched':>36}")
    print(f"{'':14}" + 2 * f"{'loop':>10}{'a weight':>10}{'registers':>11}{'warps':>7}" + f"{'ratio':>8}")
    for key, cost in sorted(upstream.items(), key=lambda item: (item[0][1], item[0][0])):
        kind, columns = key
        line = f"{kind:6}{columns} col{'s' if columns > 1 else ' '}  {_numbers(cost)}"
        if key in ours:
            line += f"{_numbers(ours[key])}{ours[key].each / cost.each:8.2f}"
        print(line)
    print("a weight: and column. Loops only: what is outside them weighs less with the patch, which needs 8 threads")
    outside = ", ".join(
        f"{kind} {128 * upstream[kind, 1].outside} to {8 * ours[kind, 1].outside}" for kind, _ in single(ours)
    )
    print(f"a row instead of 128; at most, in instructions a row: {outside}")


def single(costs: Costs) -> list[tuple[str, int]]:
    """The types that are there, with one column."""
    return sorted(key for key in costs if key[1] == 1)


def _numbers(cost: Cost) -> str:
    return f"{cost.loop:10}{cost.each:10.2f}{cost.registers:11}{cost.warps:7}"


def print_predictions(wanted: list[Model], upstream: Costs, ours: Costs) -> None:
    """Tokens a second by model."""
    both = upstream | ours
    print(f"\n{'predicted for the Nano':46}{'unpatched':>16}{'patched, limits in tok/s':>46}")
    print(f"{'':46}{'G instr.':>10}{'tok/s':>8}{'G instr.':>14}{'instr.':>8}{'loads':>8}{'memory':>8}{'tok/s':>8}")
    for model in wanted:
        before, after = predict(model, upstream), predict(model, both)
        print(
            f"{model.name:46}{before.instructions / 1e9:10.1f}{before.speed:8.1f}{after.instructions / 1e9:14.1f}"
            f"{after.by_instructions:8.1f}{after.by_loads:8.1f}{after.by_memory:8.1f}{after.speed:8.1f}"
        )
    print("tok/s: the lowest limit, each as if it could be reached alone and in full; a board stays below it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What reading a prompt takes of cuBLAS and of the memory."""

    operations: float
    """Floating-point operations."""
    bytes: float
    """Of quantized matrices read, dequantized ones written and read, and slices of the result added up."""
    rate: float
    """Operations a second, at most."""

    @property
    def seconds(self) -> float:
        """Dequantizing comes before multiplying, so their times add up."""
        return self.operations / self.rate + self.bytes / MEMORY


def prompt(tokens: int, *, halves: bool) -> Prompt:
    """What a prompt of Qwen2.5-1.5B takes, its output left out, which is multiplied for the last token only.

    Args:
        tokens: length of the prompt, at most one batch.
        halves: with patches/0022 instead of without.
    """
    matrices = [(name, count) for name, count in QWEN.layer() for _ in range(QWEN.layers)]
    weights = sum(count for _, count in matrices)
    quantized = models()[0].bytes - size(Counter(Q6_K=QWEN.output))
    traffic = quantized + 2 * weights * (2 if halves else 4)
    if halves:
        for name, count in matrices:
            columns = QWEN.hidden if name == "ffn_down" else QWEN.width
            # A slice is written and read as halves, and added to floats; the first is only written there.
            results = tokens * count / columns
            traffic += results * (-(-columns // SLICE) * (2 + 2 + 4 + 4) - 4)
    # A multiplication and an addition in one instruction, of one float or of two halves.
    rate = INSTRUCTIONS * (4 if halves else 2)
    return Prompt(operations=2 * weights * tokens, bytes=traffic, rate=rate)


def print_prompt(tokens: int) -> None:
    """Floats and halves side by side."""
    before, after = prompt(tokens, halves=False), prompt(tokens, halves=True)
    print(f"\n{f'a prompt of {tokens} tokens, predicted':46}{'GFLOP':>10}{'GFLOP/s':>10}{'GB':>8}{'s, at least':>14}")
    for name, taken in (("in floats, unpatched", before), ("in halves, patches/0022", after)):
        print(
            f"{name:46}{taken.operations / 1e9:10.0f}{taken.rate / 1e9:10.0f}{taken.bytes / 1e9:8.1f}"
            f"{taken.seconds:14.1f}"
        )
    print(
        f"halves take {after.seconds / before.seconds:.2f} of the time, if cuBLAS reaches the same part of both rates"
    )


def report(tag: str, wanted: list[Model], upstream: Costs, ours: Costs) -> dict[str, object]:
    """What is written to sass.json."""
    seed = models()[0]
    before, after = predict(seed, upstream), predict(seed, upstream | ours)
    return {
        "name": "sass",
        "unit": f"G instructions a token of {seed.name}, predicted from machine code for sm_53",
        "ours": round(after.instructions / 1e9, 3),
        "peer": round(before.instructions / 1e9, 3),
        "runs": 1,
        "versions": f"clang 14, ptxas 11.8, llama.cpp {tag}",
        "predicted_by": "inner loops only, against nominal limits: 118 G instructions/s, 118 GB/s of loads, 25.6 GB/s "
        "of memory; owners of the board report 5.3 to 6.7 tok/s where it says 6.3, and about 8 where it says 9.9",
        "predicted_tokens_per_second": {
            model.name: {
                "unpatched": round(predict(model, upstream).speed, 2),
                "patched": round(predict(model, upstream | ours).speed, 2),
                "memory_limit": round(predict(model, upstream).by_memory, 2),
            }
            for model in wanted
        },
        "predicted_prompt_seconds": {
            "tokens": PROMPT,
            "unpatched": round(prompt(PROMPT, halves=False).seconds, 2),
            "patched": round(prompt(PROMPT, halves=True).seconds, 2),
        },
        "instructions_per_weight": {
            name: {f"{kind} {columns}": round(cost.each, 3) for (kind, columns), cost in sorted(costs.items())}
            for name, costs in (("unpatched", upstream), ("patched", ours))
        },
        "registers": {
            name: {f"{kind} {columns}": cost.registers for (kind, columns), cost in sorted(costs.items())}
            for name, costs in (("unpatched", upstream), ("patched", ours))
        },
    }


def plot(upstream: Costs, ours: Costs) -> str:
    """The roofline with a point for each kernel of one column."""
    points = [Point(kind, upstream[kind, 1].each, after=False) for kind, _ in single(ours)] + [
        Point(kind, ours[kind, 1].each, after=True) for kind, _ in single(ours)
    ]
    return svg(points, instructions=INSTRUCTIONS, memory=MEMORY)


def measure(files: list[Path]) -> None:
    """Compile, count, check, print, write.

    Raises:
        SandboxError: something that this needs cannot be had.
        GgufError: a file is no model that can be counted.
    """
    wanted = [*models(), *(read(path) for path in files)]
    with checkout() as source:
        print(f"source {source.tag}; machine code for the Nano's GPU by clang 14 and ptxas 11.8\n")
        upstream = costs(compile_unit(source.ggml, "mmvq.cu"), "mul_mat_vec_q")
        ours = costs(compile_unit(source.patched(PATCH), "mmvq-half2.cu"), "mul_mat_vec_half2")
    if wrong := differences(upstream):
        raise SandboxError("the upstream kernels do not give the checked figures:\n  " + "\n  ".join(wrong))
    print_costs(upstream, ours)
    print_predictions(wanted, upstream, ours)
    print_prompt(PROMPT)
    written = record.write(report(source.tag, wanted, upstream, ours))
    written.with_suffix(".svg").write_text(plot(upstream, ours))


def main() -> None:
    """Measure; say in one line what is missing."""
    parser = argparse.ArgumentParser(description="Predict decoding on a Jetson Nano from machine code.")
    parser.add_argument("models", nargs="*", type=Path, metavar="MODEL.gguf", help="models to predict for as well")
    try:
        measure(parser.parse_args().models)
    except (SandboxError, GgufError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
