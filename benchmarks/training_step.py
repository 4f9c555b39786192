"""One optimiser step, the same network and batch: as the network's makers document it, and as crossmod computes it.

    python benchmarks/training_step.py --threads 2
    python benchmarks/training_step.py --threads 2 --isa AVX2      # oneDNN without AVX512 and AMX

Peers: MONAI's `DynUNet` and `UNet` in 32 bit with its Dice + cross-entropy loss, and nnU-Net's network with its own trainer's loss and
optimiser, where nnunetv2 is installed. Without a GPU nnU-Net computes in 32 bit, too.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path


def contenders(patch: tuple[int, ...], batch: int) -> dict[str, dict[str, Callable[[], None]]]:
    """Network → way of computing → one step."""
    import torch
    import yaml
    from monai.losses import DiceCELoss
    from monai.networks.nets import DynUNet, UNet

    from crossmod.models.hardware import hardware_for
    from crossmod.train.module import Segmentation

    root = Path(__file__).resolve().parents[1]
    settings = yaml.safe_load((root / "conf/training/default.yaml").read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(batch, 1, *patch, generator=generator)
    label = (torch.rand(batch, 1, *patch, generator=generator) > 0.9).long()

    def plain(network: torch.nn.Module, loss: Callable, optimiser: torch.optim.Optimizer) -> Callable[[], None]:
        def step() -> None:
            optimiser.zero_grad()
            loss(network(image), label).backward()
            optimiser.step()

        return step

    def ours(network: torch.nn.Module) -> Callable[[], None]:
        machine = hardware_for(network, patch, "auto")
        module = Segmentation(network, settings, 1000, machine)
        optimiser = module.configure_optimizers()["optimizer"]

        def step() -> None:
            optimiser.zero_grad()
            with machine.autocast():
                loss = module.training_step({"image": image, "label": label}, 0)
            loss.backward()
            optimiser.step()

        return step

    def monai(make: Callable[[], torch.nn.Module]) -> dict[str, Callable[[], None]]:
        torch.manual_seed(0)
        peer = make()
        loss = DiceCELoss(to_onehot_y=True, softmax=True, batch=True)
        torch.manual_seed(0)
        return {
            "MONAI": plain(peer, loss, torch.optim.AdamW(peer.parameters(), 1e-3)),
            "crossmod": ours(make()),
        }

    deep = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    found = {
        "DynUNet 16-32-64-128": monai(
            lambda: DynUNet(
                **deep,
                kernel_size=[3] * 4,
                strides=[1, 2, 2, 2],
                upsample_kernel_size=[2, 2, 2],
                filters=[16, 32, 64, 128],
            )
        ),
        "UNet 16-32-64-128": monai(lambda: UNet(**deep, channels=(16, 32, 64, 128), strides=(2, 2, 2))),
    }
    try:
        found["nnU-Net's network 16-32-64-128"] = nnunet(plain, ours)
    except ImportError:
        print("nnunetv2 is not installed: left out", file=sys.stderr)
    return found


def nnunet(plain: Callable, ours: Callable) -> dict[str, Callable[[], None]]:
    """nnU-Net's default network at four levels, with the loss and optimiser of its trainer."""
    import torch
    from dynamic_network_architectures.architectures.unet import PlainConvUNet
    from nnunetv2.training.loss.compound_losses import DC_and_CE_loss
    from nnunetv2.training.loss.dice import MemoryEfficientSoftDiceLoss

    def make() -> torch.nn.Module:
        torch.manual_seed(0)
        return PlainConvUNet(
            1,
            4,
            [16, 32, 64, 128],
            torch.nn.Conv3d,
            3,
            [1, 2, 2, 2],
            2,
            2,
            2,
            conv_bias=True,
            norm_op=torch.nn.InstanceNorm3d,
            norm_op_kwargs={"eps": 1e-5, "affine": True},
            nonlin=torch.nn.LeakyReLU,
            nonlin_kwargs={"inplace": True},
        )

    peer = make()
    loss = DC_and_CE_loss(
        {"batch_dice": False, "smooth": 1e-5, "do_bg": False, "ddp": False},
        {},
        dice_class=MemoryEfficientSoftDiceLoss,
    )
    optimiser = torch.optim.SGD(peer.parameters(), 1e-2, weight_decay=3e-5, momentum=0.99, nesterov=True)
    return {"nnU-Net": plain(peer, loss, optimiser), "crossmod": ours(make())}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--patch", type=int, nargs=3, default=(64, 64, 64))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--isa", help="most oneDNN may use, e.g. AVX2 or AVX512_CORE")
    options = parser.parse_args()
    if options.isa:
        os.environ["ONEDNN_MAX_CPU_ISA"] = options.isa  # read when torch computes for the first time
    import torch
    from measured import ms, ratio, show, take_turns, write

    torch.set_num_threads(options.threads)
    rows, record = [], []
    for network, ways in contenders(tuple(options.patch), options.batch).items():
        seconds = take_turns(ways, options.repeats, warm=2)
        peer, ours = seconds
        faster = ratio(seconds[peer], seconds[ours])
        rows.append((network, peer, ms(seconds[peer]), ms(seconds[ours]), f"{faster['median']:.1f}×"))
        record.append({"network": network, "peer": peer, "seconds": seconds, "faster": faster})
    size = f"{options.batch} × {'×'.join(map(str, options.patch))}, {options.threads} threads"
    columns = ("network", "peer", "its step (ms)", "crossmod (ms)", "faster")
    show(f"Training step, {size}{f', at most {options.isa}' if options.isa else ''}", columns, rows)
    write(f"training_step{'_' + options.isa if options.isa else ''}", {"options": vars(options), "steps": record})


if __name__ == "__main__":
    main()
