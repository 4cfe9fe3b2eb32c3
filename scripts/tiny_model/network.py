"""The networks: GLM-4.7-Flash's architecture, small enough for a git repository."""

from __future__ import annotations

import torch
from transformers import Glm4MoeLiteConfig, Glm4MoeLiteForCausalLM, PreTrainedTokenizerFast


def demonstration(tokenizer: PreTrainedTokenizerFast) -> Glm4MoeLiteForCausalLM:
    """Return the untrained network of the demonstration: 1.8 million parameters."""
    return _build(tokenizer, width=128, heads=4, rank=64, layers=3, value=48)


def stand_in(tokenizer: PreTrainedTokenizerFast) -> Glm4MoeLiteForCausalLM:
    """Return a smaller one that stays untrained: it speaks the format and says nonsense."""
    return _build(tokenizer, width=32, heads=2, rank=32, layers=2, value=32)


def _build(
    tokenizer: PreTrainedTokenizerFast,
    *,
    width: int,
    heads: int,
    rank: int,
    layers: int,
    value: int,
) -> Glm4MoeLiteForCausalLM:
    ids = tokenizer.convert_tokens_to_ids
    torch.manual_seed(0)
    config = Glm4MoeLiteConfig(
        vocab_size=(len(tokenizer) + 31) // 32 * 32,
        hidden_size=width,
        intermediate_size=3 * width,
        moe_intermediate_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        n_shared_experts=1,
        n_routed_experts=4,
        num_experts_per_tok=2,
        routed_scaling_factor=1.8,
        norm_topk_prob=True,
        n_group=1,
        topk_group=1,
        kv_lora_rank=rank,
        q_lora_rank=rank,
        qk_rope_head_dim=16,
        qk_nope_head_dim=32,
        v_head_dim=value,
        first_k_dense_replace=layers - 1,
        mlp_layer_types=["dense"] * (layers - 1) + ["sparse"],
        max_position_embeddings=32768,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=False,
        eos_token_id=[ids("<|endoftext|>"), ids("<|user|>"), ids("<|observation|>")],
        pad_token_id=ids("[MASK]"),
        bos_token_id=None,
        initializer_range=0.02,
    )
    return Glm4MoeLiteForCausalLM(config)
