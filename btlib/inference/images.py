"""Images to class probabilities."""

import numpy as np
import torch
from tqdm import tqdm

from btlib.data.resident import ResidentImages
from btlib.nets.classifier import Classifier


@torch.inference_mode()
def predict(net: Classifier, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
    """Class probabilities [N, K] in float64, in fp32 arithmetic on the GPU if there is one.

    Args:
        images: preprocessed, uint8 [N, H, W, 3].
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = net.to(device, memory_format=torch.channels_last).eval()
    data = ResidentImages(images, np.zeros(len(images)), device)
    parts = np.array_split(np.arange(len(images)), max(1, -(-len(images) // batch_size)))
    logits = [net(data.batch(part)) for part in tqdm(parts, desc="predict", leave=False)]
    return torch.cat(logits).double().softmax(dim=1).cpu().numpy()
