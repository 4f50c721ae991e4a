// The segments of a bundle on onnxruntime-web, and the policy between them, as nni_earlyexit.runtime has them in Python.
import * as ort from "./ort/ort.wasm.bundle.min.mjs";

ort.env.wasm.numThreads = 1; // more need headers (cross-origin isolation) that a simple server does not send

const f32 = Math.fround; // numbers are rounded where numpy rounds them, so that the same inputs reach the same cutoffs
const largest = (z) => z.indexOf(Math.max(...z));
const sum = (z) => f32(z.reduce((a, b) => a + b, 0));

function exponentials(z) {
  const peak = Math.max(...z);
  return z.map((value) => Math.exp(f32(value - peak)));
}

function softmax(z) {
  const e = exponentials(z);
  const whole = sum(e);
  return e.map((value) => value / whole);
}

// The measures of nni_earlyexit/thresholds/confidence.py: from the logits (Float32Array) of the kept exits up to this one
// to a number. Write one of your own here.
export const MEASURES = {
  max_prob: (logits) => f32(1 / sum(exponentials(logits.at(-1)))),
  entropy: (logits) => {
    const p = softmax(logits.at(-1));
    return 1 + sum(p.map((value) => (value > 0 ? value * f32(Math.log(value)) : 0))) / Math.log(p.length);
  },
  margin: (logits) => {
    const p = softmax(logits.at(-1)).sort();
    return f32(p.at(-1) - p.at(-2));
  },
  energy: (logits) => f32(Math.max(...logits.at(-1)) + f32(Math.log(sum(exponentials(logits.at(-1)))))),
  patience: (logits) => {
    const classes = logits.map(largest).reverse();
    const other = classes.findIndex((one) => one !== classes[0]);
    return (other < 0 ? classes.length : other) - 1;
  },
};

export class Policy {
  // From policy.json: a cutoff that is null is -inf at the last exit, and drops any other one.
  constructor({ confidence, cutoffs, temperatures }) {
    if (!Object.hasOwn(MEASURES, confidence)) {
      const way =
        confidence === "learned"
          ? "onnx/nested.onnx of the bundle computes it, and leaves by itself"
          : "write it in early_exits.js beside the others";
      throw new Error(`The confidence measure of this bundle is “${confidence}”, which this page does not have: ${way}.`);
    }
    this.measure = MEASURES[confidence];
    this.last = cutoffs.length - 1;
    this.cutoffs = cutoffs.map((cutoff, exit) => (exit === this.last ? -Infinity : (cutoff ?? Infinity)));
    this.temperatures = temperatures;
    this.kept = [...cutoffs.keys()].filter((exit) => this.cutoffs[exit] < Infinity);
  }

  // `logits` are those of the kept exits up to `exit`.
  leaves(logits, exit) {
    if (exit === this.last) return true;
    const scaled = this.temperatures
      ? logits.map((z, k) => z.map((value) => value / f32(this.temperatures[this.kept[k]])))
      : logits;
    return this.measure(scaled) >= this.cutoffs[exit];
  }

  // MACs to leave at each exit, without the branches of dropped ones.
  costs({ exit_costs, branch_costs }) {
    let saved = 0;
    return exit_costs.map((cost, exit) => cost - (saved += this.kept.includes(exit) ? 0 : branch_costs[exit]));
  }
}

export class Network {
  // One session per segment; `files` are their addresses.
  static async load(files) {
    const network = new Network();
    network.sessions = [];
    for (const file of files) {
      const answer = await fetch(file);
      if (!answer.ok) throw new Error(`${file}: the server answers ${answer.status}.`);
      const model = new Uint8Array(await answer.arrayBuffer());
      network.sessions.push(await ort.InferenceSession.create(model, { executionProviders: ["wasm"] }));
    }
    return network;
  }

  // The class of one input (Float32Array), the exit that it leaves at, and milliseconds. What follows does not run.
  async answer(x, shape, policy) {
    const start = performance.now();
    const soFar = [];
    let tensor = new ort.Tensor("float32", x, [1, ...shape]);
    for (const [exit, session] of this.sessions.entries()) {
      const { features, logits } = await session.run({ [session.inputNames[0]]: tensor });
      tensor = features;
      if (!policy.kept.includes(exit)) continue;
      soFar.push(logits.data);
      if (policy.leaves(soFar, exit)) return { exit, class: largest(logits.data), ms: performance.now() - start };
    }
  }
}
