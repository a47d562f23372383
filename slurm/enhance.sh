#!/bin/bash
#SBATCH --job-name=enhance
# sbatch slurm/enhance.sh {teacher} {input.jsonl} {output.jsonl} {task_type}
# With --array=0-15 each job asks its sixteenth, and the last one to end writes the rows; --array=3,7 repeats two of them.
exec teacherlm enhance "$@"
