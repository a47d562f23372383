#!/bin/bash
#SBATCH --job-name=prepare
# sbatch slurm/prepare.sh {dataset} {output_folder} [{source}]
exec teacherlm prepare "$@"
