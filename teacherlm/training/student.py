"""Which student the settings of `finetune` mean: its family, how long its rows may be, and what people call it."""

from pathlib import Path
from typing import Any

from teacherlm.errors import UserError
from teacherlm.log import say
from teacherlm.training.families import Family, build_family
from teacherlm.training.material import Training
from teacherlm.training.pretrained import overflows_in_fp16, read_context, read_decoder_start


def family_of(config: Training, tokenizer: Any) -> Family:
    """Raises: UserError for a model that writes no text, and for what an encoder-decoder cannot be taught."""
    start = decoder_start(config, tokenizer)
    if start is not None and config.loss_on != "completion":
        what = {"all": "the prompt in its encoder", "answer": "all before the answer in its encoder, and would be given its thoughts"}
        raise UserError(f"loss_on {config.loss_on}: an encoder-decoder reads {what[config.loss_on]}; leave loss_on out.")
    return build_family(start, tokenizer, config.truncation_side, min(_context(config), config.max_target_length), config.packing)


def decoder_start(config: Training, tokenizer: Any) -> int | None:
    """The token that the decoder of an encoder-decoder begins with; None for a decoder-only student."""
    if config.scratch is not None:
        return int(tokenizer.pad_token_id) if config.scratch.architecture == "t5" else None
    start = read_decoder_start(str(config.model), config.trust_remote_code)
    if config.precision.startswith("fp16") and overflows_in_fp16(str(config.model), config.trust_remote_code):
        say(f"notice: {config.model}: T5 is known to overflow in fp16; bf16 and fp32 are safe.")
    return start


def row_limit(config: Training) -> int:
    """Tokens of a row (of an encoder-decoder: of a prompt): what was asked for, but never more than the model's context."""
    return min(_context(config), int(config.max_source_length))


def _context(config: Training) -> int:
    return int(config.scratch.context) if config.scratch is not None else read_context(str(config.model), config.trust_remote_code)


def name_of(config: Training) -> str:
    """For people: the folder's name, the hub id, or the shape of one from scratch."""
    if config.scratch is not None:
        kind = "" if config.scratch.architecture == "llama" else f"{config.scratch.architecture} "
        return f"scratch {kind}{config.scratch.layers}x{config.scratch.hidden_size}"
    model = str(config.model)
    return Path(model).name if Path(model).exists() else model
