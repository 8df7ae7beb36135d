"""Writes a model file that llama.cpp loads quickly: a small llama that answers everything with one sentence.

It has two layers of width 64 and a vocabulary of the 256 bytes, printable characters and the sentence's
words. The layers add nothing to the random embeddings, and the output matrix leads from each word of the
sentence to the next: so the reply is known, while tokens, slots, sampling, grammars and the context are
llama.cpp's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

LAYERS = 2
WIDTH = 64
HEADS = 4
INNER = 128
CONTEXT = 8192
"""Tokens that it was "trained" on."""
WORDS = ("Good", "▁evening", ".")
REPLY = "Good evening."
START = ">"
"""The last character of the template, after which the reply begins."""
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
NEXT_WORD_WEIGHT = 6.0
"""Puts the next word's logit about 48 above all others; no temperature hides it."""
SPECIAL = (
    ("<unk>", gguf.TokenType.UNKNOWN),
    ("<s>", gguf.TokenType.CONTROL),
    ("</s>", gguf.TokenType.CONTROL),
)
END = 2
"""Index of </s>."""


def write_tiny_model(
    path: Path, words: Sequence[str] = WORDS, *, width: int = WIDTH, inner: int = INNER
) -> Path:
    """Writes the file, about 500 KB, and returns its path. The same arguments give the same bytes.

    Args:
        path: of the file.
        words: the reply, one token each; "▁" is a space.
        width: of an embedding; a larger one makes a file that takes time to load.
        inner: width of the feed-forward layers.
    """
    tokens = [*SPECIAL, *((f"<0x{each:02X}>", gguf.TokenType.BYTE) for each in range(256))]
    printable = [chr(each).replace(" ", "▁") for each in range(32, 127)]
    tokens += [(each, gguf.TokenType.NORMAL) for each in dict.fromkeys([*printable, *words])]
    writer = gguf.GGUFWriter(str(path), "llama")
    _describe(writer, tokens, width, inner)
    for name, matrix in _matrices([text for text, _ in tokens], words, width, inner).items():
        writer.add_tensor(name, matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _describe(
    writer: gguf.GGUFWriter, tokens: Sequence[tuple[str, gguf.TokenType]], width: int, inner: int
) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(width)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text.encode() for text, _ in tokens])
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kind for _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(END)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)


def _matrices(
    texts: Sequence[str], words: Sequence[str], width: int, inner: int
) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    rng = np.random.default_rng(1)
    embeddings = rng.normal(0, 1, (len(texts), width))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    output = rng.normal(0, 0.02, (len(texts), width))
    chain = [texts.index(each) for each in (START, *words)] + [END]
    for token, next_token in pairwise(chain):
        output[next_token] += NEXT_WORD_WEIGHT * embeddings[token]
    weights = {
        "token_embd.weight": embeddings,
        "output.weight": output,
        "output_norm.weight": np.ones(width),
    }
    for layer in range(LAYERS):
        shapes = dict.fromkeys(("attn_q", "attn_k", "attn_v", "attn_output"), (width, width))
        shapes |= {"ffn_gate": (inner, width), "ffn_up": (inner, width), "ffn_down": (width, inner)}
        weights |= {f"blk.{layer}.{name}.weight": np.zeros(shape) for name, shape in shapes.items()}
        weights |= {f"blk.{layer}.{name}_norm.weight": np.ones(width) for name in ("attn", "ffn")}
    return {name: each.astype(np.float32) for name, each in weights.items()}
