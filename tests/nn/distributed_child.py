"""One process of two: quantizers see their part of the samples; the first process saves what came out.

python distributed_child.py RANK FOLDER
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import distributed

from lowbit.schemes.affine.train import AffineInput
from lowbit.schemes.learned_basis.train import LearnedBasisInput
from tests.nn.distributed_samples import batches


def main() -> None:
    rank, folder = int(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    basis, grid = LearnedBasisInput(2, offset=True).train(), AffineInput(4).train()
    for batch in batches():
        part = batch[rank::2].contiguous()
        basis(part)
        grid(part)
    if rank == 0:
        state = {**basis.state_dict(prefix="basis."), **grid.state_dict(prefix="grid.")}
        save_file(state, folder / "state.safetensors")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main()
