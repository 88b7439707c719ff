/**
 * The card's state in v86's saved states. v86 saves what stands in `cpu.devices.virtio_net` with its `get_state`, and
 * hands it back to `set_state` before it has put guest RAM back; so what came is kept until all of the machine is there.
 */
import type { Engine } from "../engine.ts";
import { SnapshotError } from "../errors.ts";
import type { PciTransport } from "../transport/pci.ts";
import type { Cpu, NetDeviceSlot } from "./v86-internals.ts";

const FORMAT = "vring-v86-1";

export interface CardState {
  engine: Engine;
  transport: PciTransport;
  /** The machine is switched off and on: the device is reset. */
  reset(): void;
  /** Nothing may be half done when the machine is saved. */
  settle(): void;
}

/** What stands in v86's list of devices. */
class Slot implements NetDeviceSlot {
  readonly #card: CardState;
  loaded: unknown[] | null = null;

  constructor(card: CardState) {
    this.#card = card;
  }

  get_state(): unknown[] {
    return [FORMAT, this.#card.engine.snapshot(), this.#card.transport.state];
  }

  set_state(state: unknown[]): void {
    this.loaded = state;
  }

  reset(): void {
    this.#card.reset();
  }
}

export function installState(cpu: Cpu, card: CardState): void {
  const slot = new Slot(card);
  cpu.devices.virtio_net = slot;
  const { get_state: getState, set_state: setState } = cpu;
  // RAM is copied here, and the devices are asked afterwards.
  cpu.get_state = () => {
    card.settle();
    return getState.call(cpu);
  };
  cpu.set_state = (state) => {
    card.settle();
    slot.loaded = null;
    setState.call(cpu, state);
    restore(card, slot.loaded);
  };
}

/** @throws SnapshotError for a state without a card like this one. */
function restore({ engine, transport }: CardState, state: unknown[] | null): void {
  const [format, snapshot, registers] = state ?? [];
  if (format !== FORMAT || !(snapshot instanceof Uint8Array) || !Array.isArray(registers))
    throw new SnapshotError(
      "snapshot-foreign",
      "the saved machine has no vring network card, but the one that it is restored into has",
    );
  transport.state = registers;
  engine.restore(snapshot);
}
