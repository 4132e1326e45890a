/** Holds answers at a chosen byte until the test lets them go on, in place of a sleep of a hopeful length. */
export class Gate {
  /** Resolves when the first answer has got as far as the gate. */
  readonly reached: Promise<void>;
  readonly opened: Promise<void>;
  #arrive!: () => void;
  #open!: () => void;

  constructor() {
    this.reached = new Promise((resolve) => (this.#arrive = resolve));
    this.opened = new Promise((resolve) => (this.#open = resolve));
  }

  open(): void {
    this.#open();
  }

  pass(): Promise<void> {
    this.#arrive();
    return this.opened;
  }
}
