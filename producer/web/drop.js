// What was dropped or chosen: which file is the video, which the sound, which a CSV.

const VIDEO = /\.(mp4|m4v|mov|qt|mkv|webm|avi|m?ts|m2ts|mpe?g|3gp|3g2|mj2)$/i;
const IMAGE = /\.(jpe?g|png|webp|gif)$/i;
const AUDIO = /\.(wave?|mp3|m4[ab]|aac|flac|og[ga]|opus|mka|weba)$/i;
const TABLE = /\.csv$/i;

export function isImage(name) {
  return IMAGE.test(name);
}

/** The part that a file plays, by its name: "video", "audio" or "table"; null: none that is known here. */
export function partOf(file) {
  if (TABLE.test(file.name)) return "table";
  if (AUDIO.test(file.name)) return "audio";
  return VIDEO.test(file.name) || IMAGE.test(file.name) ? "video" : null;
}

/** Files by their part. Where they are not one of each, `fault` says why nothing was taken. */
export function sorted(files) {
  const parts = {};
  for (const file of files) {
    const part = partOf(file);
    if (part === null) return { fault: `${file.name} is no video, image, sound or CSV by its name.` };
    if (file.size === 0) return { fault: `${file.name} has no bytes.` };
    if (parts[part]) return { fault: `One video and one audio at a time; for many pairs, drop a CSV. Nothing was taken.` };
    parts[part] = file;
  }
  if (parts.table && (parts.video || parts.audio)) return { fault: "A CSV goes alone: its rows name their files by s3:// addresses. Nothing was taken." };
  return { parts };
}

/** Take files that are dropped anywhere on the page, until the signal. */
export function onDrop(take, signal) {
  const cover = document.getElementById("drop");
  let depth = 0; // enter and leave come for every element on the way
  const show = (by) => {
    depth = Math.max(0, depth + by);
    cover.hidden = depth === 0;
  };
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
  const listen = (type, listener) => window.addEventListener(type, (event) => carriesFiles(event) && listener(event), { signal });
  listen("dragenter", () => show(1));
  listen("dragleave", () => show(-1));
  listen("dragover", (event) => event.preventDefault());
  listen("drop", (event) => {
    event.preventDefault();
    show(-Infinity);
    take([...event.dataTransfer.files]);
  });
  signal.addEventListener("abort", () => { cover.hidden = true; });
}

/** How long a file plays, in seconds; null where this browser cannot tell. */
export function secondsOf(file, signal) {
  const player = document.createElement(partOf(file) === "audio" ? "audio" : "video");
  const address = URL.createObjectURL(file);
  return new Promise((resolve) => {
    const end = (seconds) => { URL.revokeObjectURL(address); resolve(Number.isFinite(seconds) ? seconds : null); };
    player.addEventListener("loadedmetadata", () => end(player.duration));
    player.addEventListener("error", () => end(null));
    signal.addEventListener("abort", () => end(null));
    player.preload = "metadata";
    player.src = address;
  });
}
