"""One frozen record per experiment: the chosen settings, and the result."""

from collections.abc import Callable, Iterator
from dataclasses import Field, dataclass, field, fields, replace
from math import cos, inf, pi
from typing import Any

from cic.colour.bins import COUNT
from cic.networks.network import INPUTS
from cic.networks.resnet import DEPTHS, NORMS
from cic.networks.vgg import VARIANTS
from cic.system.errors import SettingError
from cic.training.losses import NEEDS


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the authors' (train_val.prototxt and solver.prototxt, v2).

    `cic train` has a flag of the same name for each setting (--option for `options`). `record` is
    the lab record of the recipe's run: command, data, hardware, hours and result; empty if there
    was none.
    """

    name: str
    network: str = "cic"
    options: dict = field(default_factory=dict)  # type: ignore[type-arg]  # see __post_init__
    loss: str = "cross_entropy"
    load_size: int = 256
    crop_size: int = 176
    batch_size: int = 40
    num_epochs: int = 14  # 450k steps of 40 of ImageNet's 1.28 million photos
    lr: float = 3.16e-5
    schedule: str = "step"
    lr_step: int = 215_000
    lr_epochs: int = 30
    lr_factor: float = 0.316
    optimizer: str = "adam"
    momentum: float = 0.9
    beta1: float = 0.9
    beta2: float = 0.99
    weight_decay: float = 1e-3  # added to the gradient, as Caffe's and plain Adam's L2; not adamw's
    NN: int = 5
    sigma: float = 5.0
    gamma: float = 0.5
    rebalance: bool = True
    augment: bool = True  # crop and mirror at random; else the middle as it is
    balance: float = 0.0  # of the places photos come from; see dataset.Order
    crop_scale: float = 1.0  # least area of a random crop; 1 is crops of one size, as the authors'
    ageing: float = 0.0  # share of the inputs that are made to look old; see cic.dataset.ageing
    target_mean: bool = False  # the mean of each cell; else every stride-th pixel, as the authors'
    keep_gray: bool = False  # gray crops count, too; else they weigh 0, as the authors'
    weight_limit: float = 0.0  # of the rebalancing weights; 0 is none, as the authors'
    distance: float = 0.0  # share of losses.colour_distance beside the cross-entropy; 0 is none
    init: str = "data"  # of a run from scratch: scaled to the data, as the authors', or "plain"
    accumulate: int = 1  # parts that a batch is computed in; each has its own batch norm
    clip_norm: float = 0.0  # of all gradients together; 0 is no clipping, as the authors'
    encoder_lr: float = 1.0  # factor of the learning rate of the encoder (Howard and Ruder 2018)
    freeze: int = 0  # parts of the encoder, from the input, that are a fixed function
    average: float = 0.0  # decay of the average of all weights (cic.weights.averaging); 0 is none
    record: str = ""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value = getattr(self, entry.name)
            kinds = (int, float) if entry.type is float else entry.type
            if not isinstance(value, kinds) or isinstance(value, bool) != (entry.type is bool):  # type: ignore[arg-type]
                raise SettingError(f"{entry.name} is {value!r}: it must be {entry.type.__name__}")  # type: ignore[union-attr]
            if entry.type is int and value < (least := least_of(entry)):
                raise SettingError(f"{entry.name} is {value}: it must be {least} or more")
            if entry.type is float and not (0 <= value < inf):
                raise SettingError(f"{entry.name} is {value}: it must be finite and not below 0")
        for name in ("lr", "lr_factor", "sigma", "encoder_lr", "crop_scale"):
            if getattr(self, name) == 0:
                raise SettingError(f"{name} is 0: it must be above 0")
        for name in ("beta1", "beta2", "momentum", "average"):
            if getattr(self, name) >= 1:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be below 1")
        for name, most in MOST.items():
            if getattr(self, name) > most:
                raise SettingError(f"{name} is {getattr(self, name)}: it must be at most {most}")
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise SettingError(
                    f"{name} is {getattr(self, name)!r}; there are {', '.join(choices)}"
                )
        if self.crop_scale < 1 and not self.augment:
            raise SettingError(
                f"crop_scale is {self.crop_scale}: without augment no crop is random"
            )


def least_of(entry: Field[Any]) -> int:
    """Return the least that a whole number of a recipe may be, by its dataclass field."""
    return 0 if entry.default == 0 else 1


def _step(recipe: Recipe, step: int, steps: int, epoch_steps: int) -> float:
    return recipe.lr_factor ** (step // recipe.lr_step)


def _epoch(recipe: Recipe, step: int, steps: int, epoch_steps: int) -> float:
    return recipe.lr_factor ** (step // epoch_steps // recipe.lr_epochs)


def _cosine(recipe: Recipe, step: int, steps: int, epoch_steps: int) -> float:
    warmup = max(1, steps // 50)
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + cos(pi * step / steps))


INITS = ("data", "plain")
SCHEDULES: dict[str, Callable[[Recipe, int, int, int], float]] = {
    "step": _step,
    "epoch": _epoch,
    "cosine": _cosine,
}
# What each optimizer keeps of a parameter, in an array of its shape.
_MOMENTS = ("moment1", "moment2")
OPTIMIZERS: dict[str, tuple[str, ...]] = {"adam": _MOMENTS, "adamw": _MOMENTS, "sgd": ("velocity",)}
MOST: dict[str, float] = {"gamma": 1, "NN": COUNT, "balance": 1, "crop_scale": 1, "ageing": 1}
CHOICES: dict[str, Any] = {
    "loss": NEEDS,
    "init": INITS,
    "schedule": SCHEDULES,
    "optimizer": OPTIMIZERS,
}


def learning_rate(recipe: Recipe, step: int, steps: int, epoch_steps: int) -> float:
    """Return the learning rate of `step` (from 0) in a run of `steps`; an epoch has `epoch_steps`.

    "step" drops by `lr_factor` every `lr_step` steps, as the authors' solver does, "epoch" every
    `lr_epochs` epochs; "cosine" rises over the first fiftieth and falls to 0 at the end (Loshchilov
    and Hutter 2017).
    """
    return recipe.lr * SCHEDULES[recipe.schedule](recipe, step, steps, epoch_steps)


_RESNETS: dict[str, Any] = {"batch_size": 64, "weight_decay": 0.0}  # as their main.py have it
_RECORDS = {
    "vgg16-gray-fc": """
    python tools/train.py --recipe vgg16-gray-fc --image_dir 20/train --val_dir 20/val
        --option width=0.5 --load_size 40 --crop_size 32 --num_epochs 80 --lr_epochs 20
        --backend torch --precision bf16
    Data: 20 classes of tiny-imagenet-200, the first by name; 2,400 photos to learn from, 600 held
    out. Hardware: one core as for compact-64, shared with other work. Hours: 0.5 to epoch 58, where
    it was ended. Result: lowest validation loss, 2.305, at epoch 26; top-1 30.0 %, top-5 66.8 % in
    bf16, 30.0 and 66.3 in float32 under both frameworks; chance is 5 and 25.
    """,
}


def _classifier(
    name: str,
    network: str,
    batch_size: int = 32,
    weight_decay: float = 5e-4,
    record: str = "",
    **options: Any,
) -> Recipe:
    """Return a recipe of the classifiers of zhaoyuzhi/PyTorch-Special-Pre-trained-Models (its
    main.py).

    Not as there: crops and mirroring at random, and He's first weights instead of N(0, 0.02).
    """
    return Recipe(
        name,
        network=network,
        options=options,
        loss="class_entropy",
        crop_size=224,
        batch_size=batch_size,
        num_epochs=120,
        lr=0.01,
        schedule="epoch",
        lr_epochs=30,
        lr_factor=0.1,
        optimizer="sgd",
        momentum=0.9,
        weight_decay=weight_decay,
        rebalance=False,
        init="plain",
        record=record,
    )


def _classifiers() -> Iterator[Recipe]:
    for space in INPUTS:
        for variant in VARIANTS:
            end = "" if variant == "plain" else f"-{variant}"
            name = f"vgg16-{space.lower()}{end}"
            record = _RECORDS.get(name, "")
            yield _classifier(name, "special_vgg16", record=record, space=space, variant=variant)
    for space in ("Gray", "RGB"):
        for depth in DEPTHS:
            for norm in NORMS:
                yield _classifier(
                    f"resnet{depth}-{space.lower()}-{norm}",
                    "special_resnet",
                    **_RESNETS,
                    depth=depth,
                    space=space,
                    norm=norm,
                )


_FPN_128 = Recipe(
    "fpn-128",
    network="fpn",
    options={"version": 2},
    crop_size=128,
    batch_size=24,
    num_epochs=1,
    lr=1.5e-3,
    schedule="cosine",
    optimizer="adamw",
    beta2=0.98,
    weight_decay=0.01,
    balance=0.5,
    crop_scale=0.5,
    ageing=0.3,
    target_mean=True,
    keep_gray=True,
    weight_limit=5.0,
    clip_norm=1.0,
    encoder_lr=0.15,
    freeze=4,
    average=0.999,
    record="""
    python tools/train.py --recipe fpn-128 --backend torch --encoder lite2.safetensors
        --image_dir PLACES --val_dir photos/val bsds/val --max_steps 5400
    Data: 343,996 photographs of 53 places, 59 with those named twice or more: see
    docs/measurements.md. Hardware: one core of an AMD EPYC with AVX-512, PyTorch 2.13.0;
    20 photos/s beside other work. Hours: 1.84. Result: validation loss 3.2911, of the
    average 3.2865; AuC, raw and balanced, on 280 photographs 90.13 and 83.28 (all gray
    88.85 and 77.24).
    """,
)

_RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("full"),
        Recipe("no-rebalance", rebalance=False),
        Recipe("rebalance", gamma=0.0),
        # Callifrey/Paddle-CIC as its train.py has it: hard labels (the nearest bin alone), the
        # middle of every photo, its own steps, the additional ReLU. Its defects are mended: targets
        # of 64 x 64 beside logits of 56 x 56, on which it stops; flags of type=bool, for which any
        # text is true; checkpoints without the optimizer, written by every process; the last
        # photos of an epoch dropped.
        Recipe(
            "paddle-cic",
            options={"extra_relu": True},
            load_size=224,
            crop_size=224,
            num_epochs=20,
            lr_step=20_000,
            lr_factor=0.9,
            NN=1,
            augment=False,
        ),
        Recipe(
            "compact-64",
            options={"width": 0.25},
            load_size=64,
            crop_size=56,
            num_epochs=24,
            lr=1.5e-3,
            schedule="cosine",
            weight_decay=1e-5,
            record="""
            python tools/train.py --recipe compact-64 --precision bf16 --backend torch
                --image_dir imagenet64 photos/train bsds/train --val_dir photos/val
            Data: 30,000 photographs of tiny-imagenet-200 (64 x 64), 1,570 of ImageNet and 200 of
            BSDS500.
            Hardware: one core of an AMD EPYC with AVX-512 and bf16, PyTorch 2.13.0; 172 photos/s.
            Hours: 1.23. Result: validation loss 3.864; it is what `compact` starts from.
            """,
        ),
        Recipe(
            "compact",
            options={"width": 0.25},
            load_size=128,
            crop_size=112,
            num_epochs=3,
            lr=5e-4,
            schedule="cosine",
            weight_decay=1e-5,
            gamma=0.8,  # 0.5 after compact-64 gave 1.3 times the chroma of the truth
            record="""
            python tools/train.py --recipe compact --precision bf16 --backend torch
                --weights compact-64/epoch_latest_model.safetensors --val_dir photos/val
                --image_dir imagenet64 and six times photos/train bsds/train
            Data: as compact-64; the photographs that are larger than 64 pixels count six times.
            Hardware: as compact-64; 48 photos/s. Hours: 0.72.
            Result: validation loss 3.601; AuC, raw and rebalanced, on 180 ImageNet photographs
            87.94 and 59.86 (all gray 88.68 and 57.16); the first weights that were bundled.
            """,
        ),
        _FPN_128,
        replace(
            _FPN_128,
            name="fpn",
            crop_size=192,
            lr=8e-4,
            encoder_lr=0.2,
            record="""
            python tools/train.py --recipe fpn --backend torch
                --weights fpn-128/epoch_latest_model.safetensors --image_dir PLACES
                --val_dir photos/val bsds/val --max_steps 2550
            Data: those of fpn-128 without the warmest places: see docs/measurements.md.
            Hardware: as fpn-128; 9.4 photos/s. Hours: 1.9. Result: validation loss 3.1156; AuC, raw
            and balanced, on 280 photographs of 256 pixels 90.19 and 83.56 (all gray 88.82 and
            76.42). Trained on for 3,150 steps with --lr 6e-4 --freeze 2 on other photographs, and
            the mean of both taken: 89.85 and 83.94. Trained on from that with --distance 0.1, 911
            steps of 1,450 with --lr 6e-4 and 560 with --lr 4e-4 --average 0.99, and the mean of
            before and after taken: 90.02 and 84.02, and 90.06 and 83.96 with
            --tint 4.35 --fade 36; bundled as cic/data/fpn.safetensors.
            """,
        ),
        # compact-64 with the ab as output: what classification is compared with.
        *(
            Recipe(
                f"compact-64-{name}",
                network="regression",
                options={"width": 0.25},
                loss=loss,
                load_size=64,
                crop_size=56,
                num_epochs=4,
                lr=1.5e-3,
                schedule="cosine",
                weight_decay=1e-5,
                rebalance=False,
                record=f"""
                python tools/train.py --recipe compact-64-{name} --precision bf16 --backend torch
                    --image_dir imagenet64 photos/train bsds/train --val_dir photos/val
                Data and hardware: as compact-64; {rate} photos/s, beside other work. {hours}
                AuC, raw and rebalanced, on 180 ImageNet photographs (--size 64): {auc};
                compact-64 --num_epochs 4 84.77 and 58.66, all gray 88.70 and 57.16.
                """,
            )
            for name, loss, rate, hours, auc in (
                ("l2", "l2", 113, "Hours: 0.31.", "89.02 and 58.14"),
                ("focal", "focal_l2", 113, "Hours: 0.31.", "86.33 and 60.02"),
            )
        ),
        # Pedromacedo41/DLimage_colorization as its main.py has it, but for the first weights
        # and the photos, which it squashes to squares; "focal" is its --focal.
        *(
            Recipe(
                name,
                network="regression",
                loss=loss,
                crop_size=256,
                batch_size=224,
                num_epochs=100,
                lr=1e-4,
                lr_factor=1.0,
                beta2=0.999,
                weight_decay=0.0,
                rebalance=False,
                augment=False,
            )
            for name, loss in (("dlimage", "l2"), ("dlimage-focal", "focal_l2"))
        ),
        *_classifiers(),
        _classifier("resnet18-masked-gated", "gated_resnet18", **_RESNETS),
    )
}


def names() -> tuple[str, ...]:
    """Return the names that `get` knows."""
    return tuple(_RECIPES)


def get(name: str, **changes: Any) -> Recipe:
    """Return the Recipe by name with some fields changed; raise ValueError for an unknown name or
    field.
    """
    if name not in _RECIPES:
        raise SettingError(f"no recipe is called {name!r}; there are {', '.join(names())}")
    known = {f.name for f in fields(Recipe)}
    for key in changes:
        if key not in known:
            raise SettingError(f"a recipe has no field {key!r}; it has {', '.join(sorted(known))}")
    return replace(_RECIPES[name], **changes)
