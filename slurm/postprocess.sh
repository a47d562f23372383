#!/bin/bash
#SBATCH --job-name=postprocess
# sbatch slurm/postprocess.sh {rationales.jsonl} {output_folder}
exec teacherlm postprocess "$@"
