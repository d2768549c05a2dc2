// report.js: a button beside each text to copy it, also where the clipboard may not be used
"use strict";

function selectText(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = window.getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

function copySelection(element) {
  selectText(element);
  const isDone = document.execCommand("copy");
  window.getSelection().removeAllRanges();
  return isDone;
}

async function copyText(element) {
  try {
    await navigator.clipboard.writeText(element.textContent);
    return true;
  } catch (error) {
    return copySelection(element);
  }
}

async function showCopied(element, status) {
  const isDone = await copyText(element);
  if (!isDone) {
    selectText(element);
  }
  status.textContent = isDone ? "copied" : "selected: press Ctrl+C";
}

function addCopyButton(element) {
  const button = document.createElement("button");
  const status = document.createElement("span");
  button.type = "button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", "Copy: " + element.dataset.copy);
  status.className = "copy-status";
  status.setAttribute("role", "status");
  button.addEventListener("click", () => showCopied(element, status));
  const line = document.createElement("div");
  line.className = "copy-line no-print";
  line.append(button, status);
  element.after(line);
}

document.querySelectorAll("[data-copy]").forEach(addCopyButton);
