// Dropped files, including those in dropped folders.

export async function filesOf(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  return (await Promise.all(entries.map(below))).flat();
}

async function below(entry) {
  if (entry.name.startsWith(".")) return [];  // left in folders by file managers
  if (entry.isFile) return [await new Promise((found, failed) => entry.file(found, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {  // a reader returns about a hundred at a time
    const more = await new Promise((read, failed) => reader.readEntries(read, failed));
    if (!more.length) return found;
    found.push(...(await Promise.all(more.map(below))).flat());
  }
}
