"""One optimiser step, the same network and batch: as the network's makers document it, and as crossmod computes it.

    python benchmarks/training_step.py --threads 2
    python benchmarks/training_step.py --threads 2 --isa AVX2      # oneDNN without AVX512 and AMX

Peers: MONAI's `DynUNet` and `UNet` (with the two residual units of its documentation, and plain) in 32 bit with its
Dice + cross-entropy loss, and nnU-Net's network with its own trainer's loss and optimiser, where nnunetv2 is installed.
Without a GPU nnU-Net computes in 32 bit, too. Every contender runs in a process of its own; beside them stands what the
machine reaches in a product of two matrices.
"""

import argparse
import importlib.util
import os
from collections.abc import Callable

import torch
import yaml
from measured import ROOT, Apart, ms, ratio, show, take_turns, times, write

from crossmod.models.hardware import hardware_for
from crossmod.train.module import Training
from crossmod.train.tasks import Binary, Task

FILTERS = [16, 32, 64, 128]
DEEP = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}


def dynunet() -> torch.nn.Module:
    """MONAI's `DynUNet`, four levels."""
    from monai.networks.nets import DynUNet

    size = {"kernel_size": [3] * 4, "strides": [1, 2, 2, 2], "upsample_kernel_size": [2, 2, 2], "filters": FILTERS}
    return DynUNet(**DEEP, **size)


def unet(units: int) -> torch.nn.Module:
    """MONAI's `UNet`, four levels, with so many residual units each."""
    from monai.networks.nets import UNet

    return UNet(**DEEP, channels=FILTERS, strides=(2, 2, 2), num_res_units=units)


def residual_unet() -> torch.nn.Module:
    """As in MONAI's documentation."""
    return unet(2)


def plain_unet() -> torch.nn.Module:
    """Without residual units."""
    return unet(0)


def nnunet() -> torch.nn.Module:
    """nnU-Net's default network, four levels."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet

    norm = {"norm_op": torch.nn.InstanceNorm3d, "norm_op_kwargs": {"eps": 1e-5, "affine": True}}
    act = {"nonlin": torch.nn.LeakyReLU, "nonlin_kwargs": {"inplace": True}}
    return PlainConvUNet(1, 4, FILTERS, torch.nn.Conv3d, 3, [1, 2, 2, 2], 2, 2, 2, conv_bias=True, **norm, **act)


def study_network() -> torch.nn.Module:
    """The compact U-Net of the renal study."""
    from crossmod.design.compose import compose
    from crossmod.models.build import build

    return build(compose(["study=renal"])["model"] | {"out_channels": 2})


def monai_learns(network: torch.nn.Module) -> tuple[Callable, torch.optim.Optimizer]:
    """Loss and optimiser of MONAI's tutorials."""
    from monai.losses import DiceCELoss

    loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
    return loss, torch.optim.AdamW(network.parameters(), 1e-3)


def nnunet_learns(network: torch.nn.Module) -> tuple[Callable, torch.optim.Optimizer]:
    """Loss and optimiser of nnU-Net's trainer."""
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    settings = {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False}
    loss = DC_and_CE_loss(settings, {}, dice_class=MemoryEfficientSoftDiceLoss)
    return loss, torch.optim.SGD(network.parameters(), 1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True)


STUDY = "the study's compact U-Net"
NETWORKS = {
    STUDY: ("plain torch", study_network, monai_learns),
    "DynUNet": ("MONAI", dynunet, monai_learns),
    "UNet, 2 residual units": ("MONAI", residual_unet, monai_learns),
    "UNet, plain": ("MONAI", plain_unet, monai_learns),
    "nnU-Net's PlainConvUNet": ("nnU-Net", nnunet, nnunet_learns),
}


Batch = tuple[torch.Tensor, torch.Tensor]


def batch_of(batch: int, patch: tuple[int, ...]) -> Batch:
    """Noise with a tenth of foreground."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, 1, *patch, generator=generator)
    return image, (torch.rand(batch, 1, *patch, generator=generator) > 0.9).long()


def peer(name: str, batch: int, patch: tuple[int, ...], threads: int) -> Callable[[], None]:
    """A step as the makers document it."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    _, make, learns = NETWORKS[name]
    network = make()
    loss, optimiser = learns(network)
    image, label = batch_of(batch, patch)

    def step() -> None:
        optimiser.zero_grad()
        loss(network(image), label).backward()
        optimiser.step()

    return step


def ours(name: str, batch: int, patch: tuple[int, ...], threads: int) -> Callable[[], None]:
    """The same network in crossmod's training step."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    settings = yaml.safe_load((ROOT / "conf/training/default.yaml").read_text(encoding="utf-8"))
    return bare_step(NETWORKS[name][1](), settings | {"batch": batch}, patch)


def bare_step(network: torch.nn.Module, training: dict, patch: tuple[int, ...]) -> Callable[[], None]:
    """crossmod's training step of a network by the config of a training, on noise."""
    return step_on(network, Binary(training["loss"]), training, patch, batch_of(training["batch"], patch))


def step_on(
    network: torch.nn.Module, task: Task, training: dict, patch: tuple[int, ...], batch: Batch
) -> Callable[[], None]:
    """crossmod's training step of a network and what it learns, on one batch of images and labels."""
    machine = hardware_for(network, patch, training["precision"])
    module = Training(network, task, training, 1000, machine)
    optimiser = module.configure_optimizers()["optimizer"]
    image, label = batch

    def step() -> None:
        optimiser.zero_grad()
        with machine.autocast():
            loss = module.training_step({"image": image, "label": label}, 0)
        loss.backward()
        optimiser.step()

    return step


def gflop(name: str, batch: int, patch: tuple[int, ...]) -> float:
    """Of one step's convolutions, forward and backward: a multiplication and an addition count as two."""
    from torch.utils.flop_counter import FlopCounterMode

    network = NETWORKS[name][1]()
    image, _ = batch_of(batch, patch)
    with FlopCounterMode(display=False) as counter:
        network(image).sum().backward()
    return counter.get_total_flops() / 1e9


def product(bits: int, threads: int) -> Callable[[], None]:
    """A product of two square matrices of 2,048: 17.2 GFLOP."""
    torch.set_num_threads(threads)
    kind = {16: torch.bfloat16, 32: torch.float32}[bits]
    a, b = (torch.randn(2048, 2048).to(kind) for _ in range(2))

    def call() -> None:
        a @ b

    return call


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--patch", type=int, nargs=3, default=(64, 64, 64))
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--isa", help="most oneDNN may use, e.g. AVX2 or AVX512_CORE")
    options = parser.parse_args()
    if options.isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = options.isa  # inherited by every contender
    patch = tuple(options.patch)
    rows, record = [], []
    for name, (maker, _, _) in NETWORKS.items():
        if maker == "nnU-Net" and importlib.util.find_spec("nnunetv2") is None:
            print("nnunetv2 is not installed: left out")
            continue
        given = (name, options.batch, patch, options.threads)
        ways = {maker: Apart(peer, *given), "crossmod": Apart(ours, *given)}
        seconds = take_turns(ways, options.repeats, warm=3)
        for way in ways.values():
            way.close()
        faster, work = ratio(seconds[maker], seconds["crossmod"]), gflop(*given[:3])
        rows.append((name, maker, ms(seconds[maker]), ms(seconds["crossmod"]), times(faster), f"{work:.3g}"))
        record.append({"network": name, "peer": maker, "seconds": seconds, "faster": faster, "gflop": work})
    size = f"{options.batch} × {'×'.join(map(str, patch))}, {options.threads} threads"
    columns = ("network", "peer", "its step (ms)", "crossmod (ms)", "faster", "GFLOP")
    show(f"Training step, {size}{f', at most {options.isa}' if options.isa else ''}", columns, rows)
    # With its instructions switched off bf16 is imitated, at a hundredth of the speed.
    kinds = (32,) if options.isa else (32, 16)
    peak = {f"{bits} bit": peak_gflops(bits, options.threads, options.repeats) for bits in kinds}
    print("product of matrices: " + ", ".join(f"{peak:.0f} GFLOP/s in {kind}" for kind, peak in peak.items()))
    profiled = Apart(shares, options.batch, patch, options.threads)
    parts = profiled()
    profiled.close()
    print("a step of the study's network: " + ", ".join(f"{part} {share:.0%}" for part, share in parts.items()))
    name = f"training_step{'_' + options.isa if options.isa else ''}"
    write(name, {"options": vars(options), "steps": record, "product_gflops": peak, "shares": parts})


PARTS = {
    "convolutions": ("convolution", "mkldnn", "onednn"),
    "normalisation": ("norm",),
    "activations": ("relu",),
    "loss": ("sigmoid", "binary_cross", "log", "div", "mean", "sum"),
    "optimiser": ("Optimizer",),
    "copies and layout": ("copy", "contiguous", "cat", "fill", "zero", "empty", "to"),
}


def shares(batch: int, patch: tuple[int, ...], threads: int) -> Callable[[], dict[str, float]]:
    """Where a step of the renal study's network goes: share of the processor's time by kind of operation."""
    from torch.profiler import ProfilerActivity, profile

    step = ours(STUDY, batch, patch, threads)

    def call() -> dict[str, float]:
        for _ in range(3):
            step()
        with profile(activities=[ProfilerActivity.CPU]) as seen:
            for _ in range(5):
                step()
        times = dict.fromkeys([*PARTS, "other"], 0.0)
        for event in seen.key_averages():
            words = event.key.lower()
            part = next((part for part, keys in PARTS.items() if any(key.lower() in words for key in keys)), "other")
            times[part] += event.self_cpu_time_total
        total = sum(times.values())
        return {part: time / total for part, time in times.items()}

    return call


def peak_gflops(bits: int, threads: int, repeats: int) -> float:
    """The most that a product of matrices reaches."""
    call = Apart(product, bits, threads)
    seconds = take_turns({"product": call}, repeats, warm=3)["product"]
    call.close()
    return 2 * 2048**3 / min(seconds) / 1e9


if __name__ == "__main__":
    main()
