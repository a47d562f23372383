"""Files of other systems, read and written: completions and finetune files of Fine-tune-CoT, logs of zero-shot-CoT."""
