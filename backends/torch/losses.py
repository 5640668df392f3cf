"""The losses of cic.losses on tensors."""

import torch


def cross_entropy(logits, index, weight):
    """`cic.losses.cross_entropy`: sparse soft labels, (N, K, H, W), mean over all pixels."""
    if logits.dtype in (torch.float16, torch.bfloat16):
        logits = logits.float()
    picked = logits.log_softmax(1).gather(1, index.long())
    return -(weight * picked).sum() / max(1, logits.numel() // logits.shape[1])
