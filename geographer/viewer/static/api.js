// api.js: ask the server, which answers JSON; an error has the server's words.

import { readState } from "./state.js";

/** An error that the page shows as text. */
export class ViewerError extends Error {}

/** Return parameters as text, with the chain that the page shows: arrays are repeated, empty values left out. */
export function formatParameters(parameters) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...parameters, chain: readState().chain })) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null && item !== "") search.append(name, item);
    }
  }
  return search.toString();
}

/** Return the answer of the server to a question; `signal` cancels it. */
export async function fetchAnswer(name, parameters = {}, signal = undefined) {
  let response;
  try {
    response = await fetch(`api/${name}?${formatParameters(parameters)}`, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ViewerError("The viewer does not answer. Is geographer view still running in its terminal?");
  }
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ViewerError(answer.error || `The viewer answered with the status ${response.status}.`);
  return answer;
}

/** Return the address of a picture of a raster, or of the overlay of one of its labels. */
export const makePictureAddress = (at, id, label = "") => `picture.png?${formatParameters({ at, id, label })}`;

/** Return a function that runs an asynchronous one, of whose calls only the last one counts. */
export function takeLatest(run) {
  let controller = null;
  return async (...values) => {
    controller?.abort();
    const own = (controller = new AbortController());
    try {
      return await run(own.signal, ...values);
    } catch (error) {
      if (error.name === "AbortError" || own.signal.aborted) return undefined;
      throw error;
    }
  };
}
