#!/bin/bash
#SBATCH --job-name=evaluate
# sbatch slurm/evaluate.sh {model_path} {tasks} [{output_folder}]
exec teacherlm evaluate "$@"
