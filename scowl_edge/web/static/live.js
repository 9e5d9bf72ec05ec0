// The state as it comes: one stream of messages, or, where there is none, a look each second.

import { hear } from "./clock.js";
import { Problem, checked, getJson, headers, signIn } from "./session.js";
import { layout } from "./words.js";

const LOOK_AGAIN_MS = 1000;
const LONGEST_PAUSE_MS = 5000;
const SURELY_STALE_MS = 20000;
const SOONEST_STALE_MS = 5000;

/** Waits, or less where the signal says so. */
function pause(ms, signal) {
  return new Promise((done) => {
    if (signal.aborted) {
      done();
      return;
    }
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", () => (clearTimeout(timer), done()), { once: true });
  });
}

/** Splits a stream of server-sent events into [event, data]; comments count as life only. */
async function* messages(stream, alive) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const parts = (rest + value).split(/\r?\n\r?\n/);
      rest = parts.pop();
      for (const part of parts) {
        const lines = part.split(/\r?\n/);
        const of = (field) =>
          lines.filter((line) => line.startsWith(`${field}:`)).map((line) => line.slice(field.length + 1).replace(/^ /, ""));
        const data = of("data");
        if (data.length) yield [of("event")[0] ?? "message", data.join("\n")];
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

export class Live {
  /**
   * @param {(state: object) => void} show gets each new state
   * @param {(text: string, tone: string) => void} say tells how the connection is
   */
  constructor(show, say) {
    this.show = show;
    this.say = say;
    this.since = null;
    this.gaps = [];
    this.heardAt = performance.now();
    this.trouble = "";
    this.attempt = new AbortController();
    this.asked = false;
  }

  /** Ms since the last state came; infinity before the first. */
  ageMs() {
    return this.since === null ? Infinity : performance.now() - this.since;
  }

  /** Whether the last state is older than it should be at the pace at which they come. */
  isStale() {
    const limit = this.gaps.length < 2 ? SURELY_STALE_MS : Math.max(SOONEST_STALE_MS, 3 * Math.max(...this.gaps));
    return this.trouble !== "" ? this.ageMs() > SOONEST_STALE_MS : this.ageMs() > limit;
  }

  /** Ends what is under way and begins anew: somebody signed in. */
  restart() {
    this.asked = false;
    this.attempt.abort();
  }

  take(state) {
    const now = performance.now();
    if (this.since !== null) this.gaps = [...this.gaps.slice(-4), now - this.since];
    this.since = now;
    this.trouble = "";
    this.say("Live", "");
    hear(state.region.time);
    const known = new Map(state.freshness.map((each) => [each.device, each]));
    for (const device of state.devices) {
      const { quality = null, age_s = null } = known.get(device.name) ?? {};
      Object.assign(device, { quality, age_s });
    }
    this.show(state);
  }

  async run() {
    let waits = LOOK_AGAIN_MS;
    for (;;) {
      const before = this.since;
      this.attempt = new AbortController();
      try {
        await this.follow();
      } catch (error) {
        await this.tell(error);
      }
      waits = this.since === before ? Math.min(2 * waits, LONGEST_PAUSE_MS) : LOOK_AGAIN_MS;
      await pause(waits, this.attempt.signal);
    }
  }

  async tell(error) {
    this.trouble = error.name === "AbortError" ? "the daemon is silent" : error.message;
    this.say(`Not connected: ${this.trouble}`, "bad");
    if (error instanceof Problem && error.status === 401 && !this.asked) {
      // Whoever closes the dialog has a button for later.
      this.asked = true;
      await signIn("Reading this daemon needs a viewer's or an operator's token.");
    }
  }

  /** Follows the stream until it ends. */
  async follow() {
    this.heardAt = performance.now();
    const watch = setInterval(() => {
      if (performance.now() - this.heardAt > SURELY_STALE_MS) this.attempt.abort();
    }, 1000);
    try {
      const answer = await fetch("/api/v1/live", { headers: headers(), signal: this.attempt.signal, cache: "no-store" });
      if (answer.status === 404 || answer.status === 503) {
        await answer.body?.cancel();
        // No stream, or too many follow it already: look now and then.
        await this.look(answer.status === 404 ? LOOK_AGAIN_MS : 5 * LOOK_AGAIN_MS);
        return;
      }
      await checked(answer);
      for await (const [event, data] of messages(answer.body, () => (this.heardAt = performance.now()))) {
        if (event === "state") this.take(JSON.parse(data));
      }
      throw new Error("the daemon ended the connection");
    } finally {
      clearInterval(watch);
    }
  }

  /** Asks for everything again and again, for a minute; raises what went wrong. */
  async look(everyMs) {
    const lists = [...new Set(layout.tables.map((table) => table.list)), "freshness", "populations"];
    const { signal } = this.attempt;
    for (const until = performance.now() + 60000; performance.now() < until && !signal.aborted; ) {
      const [region, flex, ...answers] = await Promise.all([
        getJson("region"),
        // Most sites have no part in it, and so no such object.
        getJson("flex").catch(() => null),
        ...lists.map(async (list) => (await getJson(list))[list]),
      ]);
      this.heardAt = performance.now();
      this.take({ region, flex, ...Object.fromEntries(lists.map((list, n) => [list, answers[n]])) });
      await pause(everyMs, signal);
    }
  }
}

