"""Fine-tuning of the causal Wan family: a LoRA on clips of one's own."""
