"""Let the processes of one job count each other (a stage of the tests: several processes, on several nodes)."""

import os

from teacherlm.stage import Outcome, Stage, StageConfig


class MeetConfig(StageConfig):
    value: int = 1
    """What each process adds."""


def meet(config: MeetConfig) -> Outcome:
    import torch
    import torch.distributed

    torch.distributed.init_process_group("gloo")
    total = torch.tensor([config.value])
    torch.distributed.all_reduce(total)
    if torch.distributed.get_rank() == 0:
        (config.output / "number.txt").write_text(str(total.item()))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    return Outcome(counts={"rows": 1}, facts={"hosts": os.environ.get("SLURM_NNODES", "")})


STAGE = Stage(meet, MeetConfig, distributed=True)
