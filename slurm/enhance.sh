#!/bin/bash
#SBATCH --job-name=enhance
#SBATCH --signal=B:USR1@120 --requeue
# sbatch slurm/enhance.sh {teacher} {input.jsonl} {output.jsonl} {task_type}
# With --array=0-15 each job asks its sixteenth, and the last one to end writes the rows; --array=3,7 repeats two of them.
# Two minutes before its time is up it finishes what it has in hand, and is queued again.
export TEACHERLM_REQUEUES="${TEACHERLM_REQUEUES:-10}"
exec teacherlm enhance "$@"
