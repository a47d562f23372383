"""The real tiny model as a chat model: stories260k's weights, and a chat template set on its tokenizer."""

from pathlib import Path

from transformers import AutoModelForCausalLM, AutoTokenizer

PLAIN = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]\n{{ message['content'] }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
"""As most models write it: what the assistant says shows only by comparison."""
MARKED = (
    "{{ bos_token }}{% for message in messages %}[{{ message['role'] }}]\n"
    "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{{ eos_token }}{% endgeneration %}"
    "{% else %}{{ message['content'] }}{{ eos_token }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]\n{% endif %}"
)
"""The same text, which says itself what the assistant writes."""
FORGETFUL = (
    "{% for message in messages %}[{{ message['role'] }}] "
    "{{ message['content'] if loop.last or message['role'] == 'user' else '...' }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)
"""Shortens what was said before, as templates that drop earlier reasoning do."""


def write_chat_model(stories260k: Path, folder: Path, template: str = PLAIN) -> Path:
    AutoModelForCausalLM.from_pretrained(stories260k).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(stories260k)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    return folder
