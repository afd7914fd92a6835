"""Signed multiplier with registers: at both inputs and at the product, which appears two clocks after.

7-series and UltraScale+: the synthesizer packs the registers into the DSP48. ECP5: it does not, so the
MULT18X18D is named with its registers (67 MHz become more than 100).
"""

from amaranth.hdl import ClockSignal, Const, Instance, Module, Signal, Value, signed

from lowbit.rtl.primitives.target import ECP5_MULTIPLIER_BITS, Target

LATENCY = 2


def multiply(
    m: Module, name: str, x: Value, x_enable: Value, weight: Value, enable: Value, target: Target
) -> Signal:
    """Return the product of what ``x`` was when ``x_enable`` last was 1, and of the weight a clock ago.

    Args:
        m: where it is built; its domain stops while ``enable`` is 0.
        name: of the multiplier, in Verilog.
        x: signed; kept while ``x_enable`` is 0.
        x_enable: take a new x.
        weight: signed; a new one every clock.
        enable: the clock enable of the domain, for parts that are named rather than inferred.
        target: the family.
    """
    product = Signal(signed(len(x) + len(weight)), name=f"{name}_product", reset_less=True)
    if target == "ecp5":
        return _mult18x18d(m, name, x, x_enable, weight, enable, product)
    x_held = Signal(signed(len(x)), name=f"{name}_x", reset_less=True)
    weight_held = Signal(signed(len(weight)), name=f"{name}_weight", reset_less=True)
    with m.If(x_enable):
        m.d.sync += x_held.eq(x)
    m.d.sync += [weight_held.eq(weight), product.eq(x_held * weight_held)]
    return product


def _mult18x18d(
    m: Module, name: str, x: Value, x_enable: Value, weight: Value, enable: Value, product: Signal
) -> Signal:
    wide = Signal(signed(2 * ECP5_MULTIPLIER_BITS), name=f"{name}_wide")
    wide_x, wide_weight = Signal(signed(ECP5_MULTIPLIER_BITS)), Signal(signed(ECP5_MULTIPLIER_BITS))
    m.d.comb += [wide_x.eq(x), wide_weight.eq(weight), product.eq(wide)]
    bits = {}
    for bit in range(ECP5_MULTIPLIER_BITS):
        bits[f"i_A{bit}"], bits[f"i_B{bit}"] = wide_x[bit], wide_weight[bit]
    for bit in range(2 * ECP5_MULTIPLIER_BITS):
        bits[f"o_P{bit}"] = wide[bit]
    registers = {
        "p_REG_INPUTA_CLK": "CLK0", "p_REG_INPUTA_CE": "CE0",
        "p_REG_INPUTB_CLK": "CLK0", "p_REG_INPUTB_CE": "CE1",
        "p_REG_OUTPUT_CLK": "CLK0", "p_REG_OUTPUT_CE": "CE1",
        "p_REG_PIPELINE_CLK": "NONE", "p_CLK0_DIV": "ENABLED", "p_GSR": "DISABLED",
        "p_SOURCEB_MODE": "B_SHIFT",
    }  # fmt: skip
    m.submodules[f"{name}_multiplier"] = Instance(
        "MULT18X18D", **registers, **bits,
        i_SIGNEDA=Const(1), i_SIGNEDB=Const(1), i_SOURCEA=Const(0), i_SOURCEB=Const(0),
        i_CLK0=ClockSignal(), i_CE0=x_enable & enable, i_CE1=enable,
    )  # fmt: skip
    return product
