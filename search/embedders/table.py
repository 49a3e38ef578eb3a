"""The models: a sixth one is one more entry here."""

from __future__ import annotations

from search.catalogue import Catalogue, Model, Preprocessing

OPENAI = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HUB = "https://huggingface.co/"
TABLE = (
    Model(
        name="clip_vitb32",
        dim=512,
        family="open_clip",
        architecture="ViT-B-32",
        hub="laion/CLIP-ViT-B-32-laion2B-s34B-b79K",
        licence="MIT",
        sources=(HUB + "laion/CLIP-ViT-B-32-laion2B-s34B-b79K",),
        preprocessing=Preprocessing(224, 224, "bicubic", *OPENAI, even_crop=True),
        has_text=True,
    ),
    Model(
        name="clip_vitl14",
        dim=768,
        family="open_clip",
        architecture="ViT-L-14",
        hub="laion/CLIP-ViT-L-14-laion2B-s32B-b82K",
        licence="MIT",
        sources=(HUB + "laion/CLIP-ViT-L-14-laion2B-s32B-b82K",),
        # Not OpenAI's colours: this checkpoint was trained with halves.
        preprocessing=Preprocessing(224, 224, "bicubic", *HALVES, even_crop=True),
        has_text=True,
    ),
    Model(
        name="dinov2_base",
        dim=768,
        family="transformers",
        architecture="Dinov2Model",
        hub="facebook/dinov2-base",
        licence="Apache-2.0",
        sources=(HUB + "facebook/dinov2-base",),
        preprocessing=Preprocessing(256, 224, "bicubic", *IMAGENET),
    ),
    Model(
        name="dinov2_large",
        dim=1024,
        family="transformers",
        architecture="Dinov2Model",
        hub="facebook/dinov2-large",
        licence="Apache-2.0",
        sources=(HUB + "facebook/dinov2-large",),
        preprocessing=Preprocessing(256, 224, "bicubic", *IMAGENET),
    ),
    Model(
        name="dinov3_base",
        dim=768,
        family="transformers",
        architecture="DINOv3ViTModel",
        hub="facebook/dinov3-vitb16-pretrain-lvd1689m",
        licence="DINOv3 License of Meta; access is asked for on the page of the model, and may be refused",
        sources=(
            HUB + "facebook/dinov3-vitb16-pretrain-lvd1689m",
            HUB + "timm/vit_base_patch16_dinov3.lvd1689m",
        ),
        preprocessing=Preprocessing(224, 224, "bilinear", *IMAGENET, rescale_first=True, squash=True),
    ),
)
MODELS: Catalogue = {model.name: model for model in TABLE}
"""The models by name, in the order of their files."""
