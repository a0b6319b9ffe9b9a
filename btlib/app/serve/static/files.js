// The files that were dropped, those in dropped folders too.

export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map(below))).flat();
}

async function below(entry) {
  if (entry.name.startsWith(".")) return [];  // what file managers leave in folders
  if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {  // a reader gives about a hundred at a time
    const more = await new Promise((read, failed) => reader.readEntries(read, failed));
    if (!more.length) return found;
    found.push(...(await Promise.all(more.map(below))).flat());
  }
}
