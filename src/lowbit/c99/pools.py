"""Means of windows in C: of reals, or as sums of integers that stand for reals."""

from dataclasses import replace

from lowbit.c99.inputs import Whole, mean_of
from lowbit.c99.stored import Stored
from lowbit.c99.unit import Unit
from lowbit.c99.windows import add_window
from lowbit.program.steps import AveragePool


def average_pool(unit: Unit, step: AveragePool, x: list[Stored], number: int) -> Stored:
    """Add the mean of each window of reals, added in float64 as the engine adds; of integers, their sum."""
    (source,) = x
    assert source.lengths is not None
    window = (step.rows, step.columns)
    constants = add_window(unit, window, source, 1)
    lengths = (source.lengths[0], step.rows.outputs, step.columns.outputs)
    y = Stored(number, "reals", lengths[0] * lengths[1] * lengths[2], lengths)
    kind = "double"
    if source.pixels is not None:
        sums = mean_of(Whole(source.ctype, source.low, source.pixels, ""), step)
        assert sums is not None  # else it is refused
        y = replace(y, low=sums.least, high=sums.last, pixels=sums.reals, element=sums.ctype)
        kind = "int32_t"
    name = f"mean_{source.ctype[:-2]}_{y.ctype[:-2]}{'_all' if step.count_all else ''}"
    index = "((row * v->width + column) * v->channels + c)"
    if source.channels_first:
        index, name = "((c * v->height + row) * v->width + column)", f"{name}_c"
    counted = "" if step.count_all else "++count;"
    mean = "sum" if kind == "int32_t" else "sum / (double)count"
    unit.function(
        name,
        f"""
static void {name}(const {source.ctype} *x, {y.ctype} *y, const struct window *v)
{{
  int32_t i, j, c, a, b;
  for (i = 0; i < v->out_height; ++i)
    for (j = 0; j < v->out_width; ++j)
      for (c = 0; c < v->channels; ++c) {{
        {kind} sum = 0;
        int32_t count = {"v->kernel_height * v->kernel_width" if step.count_all else "0"};
        for (a = 0; a < v->kernel_height; ++a)
          for (b = 0; b < v->kernel_width; ++b) {{
            const int32_t row = i * v->stride_height - v->top + a * v->dilation_height;
            const int32_t column = j * v->stride_width - v->left + b * v->dilation_width;
            if (row >= 0 && row < v->height && column >= 0 && column < v->width) {{
              sum += x[{index}];
              {counted}
            }}
          }}
        (void)count;
        *y++ = ({y.ctype})({mean});
      }}
}}
""",
    )
    return unit.put(f"{name}({source.name}, {y.name}, &{constants});", y, [source])
