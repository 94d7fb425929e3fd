// Requests to the server that served this page. Its address begins with the token; what writes bears it once more.

const base = new URL(".", location.href);
const token = base.pathname.split("/").filter(Boolean)[0];

export const address = (path) => new URL(path, base).href;
export const picture = (image, side) => address(`picture?id=${encodeURIComponent(image)}${side ? `&side=${side}` : ""}`);
export const unknown = (image) => address(`unknown?id=${encodeURIComponent(image)}`);
export const sheet = (number, edition) => address(`sheet/${number}?v=${encodeURIComponent(edition)}`);

async function answered(response) {
  const text = await response.text();
  let told = null;
  try {
    told = JSON.parse(text);
  } catch {
    throw new Error(text || `the server said ${response.status}`);
  }
  if (!response.ok) {
    throw Object.assign(new Error(told.error || `the server said ${response.status}`), { status: response.status, said: told.said });
  }
  return told;
}

async function reached(path, options) {
  try {
    return await fetch(address(path), options);
  } catch {
    throw new Error("The server does not answer. Start `dataset-pipeline review` again; nothing that was said is lost.");
  }
}

export const get = async (path) => answered(await reached(path, {}));

export async function post(path, body = {}) {
  const headers = { "content-type": "application/json", "x-review-token": token };
  return answered(await reached(path, { method: "POST", headers, body: JSON.stringify(body) }));
}
