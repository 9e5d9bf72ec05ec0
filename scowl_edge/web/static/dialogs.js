// Modal dialogs: the browser keeps the focus inside and closes them on Esc; this gives the focus back.

/** Opens a dialog; once it is closed, the focus returns to where it was. */
export function open(dialog, first) {
  if (dialog.open) return;
  const before = document.activeElement;
  dialog.addEventListener("close", () => before?.isConnected && before.focus({ preventScroll: true }), { once: true });
  dialog.showModal();
  first?.focus();
}

let clearing = 0;

/** Says a sentence in the header's status line, for eyes and screen readers, for a while. */
export function notice(text, tone = "") {
  const line = document.getElementById("notice");
  line.textContent = text;
  line.dataset.tone = tone;
  clearTimeout(clearing);
  clearing = setTimeout(() => (line.textContent = ""), 12000);
}
