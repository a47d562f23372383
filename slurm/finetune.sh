#!/bin/bash
#SBATCH --job-name=finetune
#SBATCH --ntasks-per-node=1
#SBATCH --signal=B:USR1@120 --requeue
# sbatch --nodes=2 --gpus-per-node=8 slurm/finetune.sh {model_path} {dataset_path} {per_device_batch_size} {accumulation} \
#     {learning_rate} {num_train_epochs} {task_type} {wandb_run_name} {store_dir} {wandb_project_name}
# One process for each GPU of each node; any option of `teacherlm finetune` may follow, such as --ds-config zero3 --precision bf16.
# Two minutes before its time is up it saves, and is queued again.
set -e
export TEACHERLM_REQUEUES="${TEACHERLM_REQUEUES:-10}"
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n1)
exec srun python -m teacherlm.launch.torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${SLURM_GPUS_ON_NODE:-1}" --rdzv-id "$SLURM_JOB_ID" \
    --rdzv-backend c10d --rdzv-endpoint "$head:$((20000 + SLURM_JOB_ID % 20000))" -m teacherlm.cli finetune "$@"
