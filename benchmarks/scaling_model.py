"""What to expect from more devices, computed and not run: python -m benchmarks.scaling_model

A step takes: computing this device's share of the global batch, a fixed time whatever the batch, and one all-reduce of the
gradients in a ring, in which each device sends 2 (p - 1) / p of their bytes in 2 (p - 1) messages.
docs/scaling.md tells where the numbers come from, and what they are worth.
"""

import dataclasses

#: Parameters of the CNN of configs/cnn_nadam.py, as float32.
GRADIENT_BYTES = 4 * 421_642


@dataclasses.dataclass(frozen=True)
class Machine:
    """Devices and what connects them. Times in seconds.

    Attributes:
      example: time that one device computes on an example of a batch.
      fixed: time of a step that is spent whatever the batch: launching kernels, the update of the weights.
      bandwidth: bytes that a device sends in a second.
      message: time of a message, however short.
      crowding: by how much devices slow each other down; 1 where they share nothing.
    """

    example: float
    fixed: float
    bandwidth: float
    message: float
    crowding: float = 1.0

    def all_reduce(self, devices: int) -> float:
        """Seconds of an all-reduce of the gradients."""
        return 2 * (devices - 1) * (GRADIENT_BYTES / devices / self.bandwidth + self.message)

    def step(self, batch: int, devices: int) -> float:
        """Seconds of a step on a global batch."""
        if devices == 1:
            return self.example * batch + self.fixed
        share = batch / devices
        return self.crowding * self.example * share + self.fixed + self.all_reduce(devices)

    def speedup(self, batch: int, devices: int) -> float:
        """How many times as fast as one device."""
        return self.step(batch, 1) / self.step(batch, devices)

    def pays_from(self, devices: int) -> int:
        """The global batch from which on half the devices' time is spent on computing, so that more of them pay."""
        return round((self.fixed + self.all_reduce(devices)) * devices / (self.crowding * self.example))


#: Of the CNN. `cores` is measured (docs/scaling.md); the others follow from data sheets and rules of thumb.
MACHINES = {
    'cores': Machine(example=203e-6, fixed=0.6e-3, bandwidth=0.83e9, message=0.25e-3, crowding=1.09),
    '8 GPUs': Machine(example=6.5e-6, fixed=0.4e-3, bandwidth=235e9, message=5e-6),
    '32 workers': Machine(example=110e-6, fixed=0.6e-3, bandwidth=0.83e9, message=0.25e-3),
    'TPU slice of 8': Machine(example=1.3e-6, fixed=0.05e-3, bandwidth=45e9, message=1e-6),
}


def main() -> None:
    """Prints the tables."""
    for name, devices in (('cores', 2), ('8 GPUs', 8), ('32 workers', 32), ('TPU slice of 8', 8)):
        machine = MACHINES[name]
        print(f'\n{name}: all-reduce {1e3 * machine.all_reduce(devices):.2f} ms, ', end='')
        print(f'pays from a global batch of {machine.pays_from(devices):,} on')
        for batch in (128, 512, 2048, 8192, 32768):
            one, many = machine.step(batch, 1), machine.step(batch, devices)
            print(f'| {batch:,} | {1e3 * one:.2f} ms | {1e3 * many:.2f} ms | {one / many:.2f} |')


if __name__ == '__main__':
    main()
