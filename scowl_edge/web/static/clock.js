// The daemon's wall clock, as its last state told it: the one in this machine may be wrong, or in another rhythm.

let aheadMs = 0;

/** Takes the time of the state that just came. */
export function hear(iso) {
  aheadMs = Date.parse(iso) - Date.now();
}

/** Ms since 1970, as the daemon counts. */
export const daemonNow = () => Date.now() + aheadMs;
