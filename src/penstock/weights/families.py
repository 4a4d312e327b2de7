"""Families of models, and what a file of each may be declared as."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.weights.identify import Found

SD1 = ("sd1x", "sd1xlcm", "sdhyper")
SDXL = ("sdxl", "pony", "illustrious", "sdxllightning", "sdxlturbo", "sdxlhyper", "sdxllcm")
DISTILLED = ("sdxldistilled",)
FLUX_GUIDED = ("flux1d", "fluxkontextdev")
FLUX_UNGUIDED = ("flux1s",)
FLUX = FLUX_GUIDED + FLUX_UNGUIDED
SD3 = ("sd3",)
HIDREAM = ("hidreamfull", "hidreamdev")
QWEN = ("qwen_image",)
ARCHITECTURES = SD1 + SDXL + DISTILLED + FLUX + SD3 + HIDREAM + QWEN

CATEGORIES = ("checkpoint", "lora", "lycoris", "controlnet", "vae", "embeddings")
TYPES: Mapping[str, tuple[str, ...]] = {
    "checkpoint": ("base", "inpainting", "refiner"),
    "embeddings": ("positive", "negative"),
}
"""Types by category; the other categories have none."""

GENERAL = frozenset({"sd1x", "sdxl", "flux1d", "flux1s", "sd3", "qwen_image", "sdxldistilled"})
"""Declarations that promise the structure alone. The others name a training that no structure shows."""

CHECKPOINTS: Mapping[str, tuple[str, ...]] = {
    "sd1": SD1,
    "sdxl": SDXL,
    "sdxl_pruned": DISTILLED,
    "sdxl_refiner": ("sdxl",),
    "sd3": SD3,
    "hidream": HIDREAM,
    "qwen": QWEN,
}
"""What a checkpoint of a family may be declared as, likeliest first. Flux hangs on its guidance; see `acceptable`."""

GUIDES: Mapping[str, tuple[str, ...]] = {
    "sd1": SD1,
    "sdxl": SDXL,
    "sd3": SD3,
    "qwen": QWEN,
}
"""What a control network of a family may be declared as; Flux as for checkpoints, with both where it is unguided."""

ADAPTERS: Mapping[str, tuple[str, ...]] = {
    "sd1": SD1,
    "sdxl": SDXL + DISTILLED,
    "flux1": FLUX,
    "flux1_or_qwen": FLUX + QWEN,
    "sd3": SD3,
    "hidream": HIDREAM,
    "qwen": QWEN,
}
"""What an adapter or an embedding of a family may be declared as: it fits all variants."""

VAES: Mapping[str, tuple[str, ...]] = {
    "vae4": SD1 + SDXL + DISTILLED,
    "vae16": FLUX + SD3 + HIDREAM,
    "vae_wan": QWEN,
}

ANOTHER = "another family"
LABELS: Mapping[str, str] = {
    "sd1": "Stable Diffusion 1",
    "sd2": "Stable Diffusion 2",
    "sdxl": "Stable Diffusion XL",
    "sdxl_pruned": "Stable Diffusion XL, pruned",
    "sdxl_refiner": "Stable Diffusion XL, the refiner",
    "flux1": "Flux.1",
    "flux1_pruned": "Flux.1, pruned",
    "flux1_or_qwen": "Flux.1 or Qwen-Image",
    "flux_like": "a relative of Flux.1",
    "flux2": "Flux.2",
    "flux3": "Flux.3",
    "chroma": "Chroma",
    "sd3": "Stable Diffusion 3",
    "sd3_like": "a relative of Stable Diffusion 3",
    "hidream": "HiDream-I1",
    "hidream_like": "a relative of HiDream-I1",
    "hidream_o1": "HiDream-O1",
    "qwen": "Qwen-Image",
    "qwen_like": "a relative of Qwen-Image",
    "qwen_image_2": "Qwen-Image 2",
    "qwen_image_layered": "Qwen-Image Layered",
    "svd": "Stable Video Diffusion",
    "kolors": "Kolors",
    "unet": "an unknown UNet",
    "packed": "weights packed for one engine (SVDQuant, GPTQ)",
    "flux_redux": "Flux.1 Redux",
    "alt_diffusion": "AltDiffusion",
    "sana": "Sana",
    "qwen_fun_controlnet": "a control network of Qwen-Image as a patch",
    "hunyuan_video": "Hunyuan Video",
    "hunyuan_dit": "Hunyuan DiT",
    "hunyuan_3d": "Hunyuan 3D",
    "lumina2": "Lumina 2 or Z-Image",
    "wan": "Wan",
    "aura_flow": "AuraFlow, such as Pony V7",
    "cascade": "Stable Cascade",
    "krea2": "Krea 2",
    "pixart": "PixArt",
    "pixart_or_ltx": "PixArt or LTX-Video",
    "mochi": "Mochi",
    "ace_step": "ACE-Step",
    "stable_audio": "Stable Audio",
    "cosmos": "Cosmos",
    "cosmos2": "Cosmos Predict 2, such as Anima",
    "cogvideox": "CogVideoX",
    "other_transformer": "a transformer of another family",
    "anima": "Anima",
    "animatediff": "AnimateDiff",
    "controlnet_other": ANOTHER,
    "controlnet_difference": "Stable Diffusion, stored as a difference from its base model",
    "z_image_controlnet": "a control network of Z-Image",
    "vae4": "4 latent channels (Stable Diffusion 1 and XL)",
    "vae16": "16 latent channels (Flux.1, Stable Diffusion 3, HiDream)",
    "vae_wan": "Wan 2.1 and Qwen-Image",
    "vae_wan22": "Wan 2.2",
    "vae_flux2": "Flux.2",
    "vae_svd": "Stable Video Diffusion",
    "vae_other": ANOTHER,
    "taesd": "a decoder of previews",
    "ip_adapter": "an IP-Adapter",
    "clip_vision": "an encoder of pictures",
    "text_encoder": "a text encoder",
    "upscaler": "an upscaler",
}
"""Families in words."""

CATEGORY_LABELS: Mapping[str, str] = {
    "checkpoint": "checkpoint",
    "lora": "LoRA",
    "lycoris": "LyCORIS adapter",
    "controlnet": "control network",
    "vae": "VAE",
    "embeddings": "textual embedding",
}


def acceptable(found: Found) -> tuple[str, ...]:
    """Architectures that the file may be declared as, likeliest first; empty where it can be declared as none."""
    family = found.family or ""
    if found.category == "checkpoint":
        return _checkpoint(found, family)
    if found.category == "controlnet":
        if family == "flux1":
            return FLUX_GUIDED if found.facts.get("guidance") else FLUX
        return GUIDES.get(family, ())
    if found.category == "vae":
        return VAES.get(family, ())
    only_guided = found.facts.get("control") or found.facts.get("guidance")
    return FLUX_GUIDED if family == "flux1" and only_guided else ADAPTERS.get(family, ())


def tolerable(found: Found) -> Mapping[str, str]:
    """Architectures that are let through beside them, each with the reason why it may not be right."""
    if found.category == "controlnet" and found.family == "sdxl":
        return {"sdxldistilled": "it was made for a full UNet, and pruned ones are meant"}
    if found.category != "checkpoint":
        return {}
    if found.family == "sd1" and found.facts.get("cond_proj"):
        return {"sd1x": "it is a full LCM distillation (time_embedding.cond_proj), which sd1xlcm names"}
    if found.family == "sdxl" and not found.facts.get("cond_proj"):
        return {"sdxldistilled": "it is a full UNet, and pruned ones are meant"}
    if found.family == "flux1" and found.facts.get("guidance"):
        return {"flux1s": "it has guidance, which flux1s lacks; merges of dev and schnell keep it"}
    return {}


def _checkpoint(found: Found, family: str) -> tuple[str, ...]:
    if family == "flux1":
        return FLUX_GUIDED if found.facts.get("guidance") else FLUX_UNGUIDED
    if found.facts.get("cond_proj") and family in {"sd1", "sdxl"}:
        return ("sd1xlcm",) if family == "sd1" else ("sdxllcm",)
    return CHECKPOINTS.get(family, ())
